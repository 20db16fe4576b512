//! The guest prints what it knows of itself; the debugger must have seen the same from outside.

use super::super::support::file_of_cpio;
use super::guest_run::{CPU, GuestRun, SLEEPS, WRITES, images};
use reprise_core::riscv::isa::Op;
use reprise_core::types::GuestVirtAddr;
use reprise_debugger::linux::{LinuxView, Mapping, Task};
use reprise_tests::elf::{self, Permission, Segment};
use reprise_tests::encode;
use std::collections::{BTreeMap, BTreeSet};

/// The lines that a script printed between two lines.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    let lines = text.lines().skip_while(|line| *line != start).skip(1);
    lines.take_while(|line| *line != end).collect()
}

/// A line of `/proc/PID/maps`.
fn maps_line(mapping: &Mapping) -> String {
    let flag = |is_set, letter| if is_set { letter } else { '-' };
    let (offset, device, inode) =
        (mapping.file.as_ref()).map_or((0, 0, 0), |file| (file.offset, file.device, file.inode));
    let file = (mapping.file.as_ref()).map(|file| String::from_utf8_lossy(&file.path).into_owned());
    let numbers = format!(
        "{:08x}-{:08x} {}{}{}{} {offset:08x} {:02x}:{:02x} {inode} ",
        mapping.start.0,
        mapping.end.0,
        flag(mapping.is_readable, 'r'),
        flag(mapping.is_writable, 'w'),
        flag(mapping.is_executable, 'x'),
        if mapping.is_shared { 's' } else { 'p' },
        device >> 20,
        device & 0xf_ffff,
    );
    match file.or_else(|| mapping.label.clone()) {
        Some(name) => format!("{numbers:<73}{name}"),
        None => numbers,
    }
}

#[test]
fn symbols_are_those_of_proc_kallsyms() {
    let mut run = GuestRun::of_script("echo begin; cat /proc/kallsyms; echo end");
    let kernel = run.kernel.clone();
    assert!(run.run_to(100_000_000));
    let later = reprise_debugger::linux::Kernel::find(run.machine.memory());
    let later = later.expect("a kernel that runs is found as well");
    let printed = run.finish();
    let mut addresses: BTreeMap<&str, u64> = BTreeMap::new();
    let lines = between(&printed, "begin", "end");
    assert!(lines.len() > 10_000, "{} symbols", lines.len());
    for line in &lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let address = u64::from_str_radix(words[0], 16).expect("an address");
        let lowest = addresses.entry(words[2]).or_insert(address);
        *lowest = address.min(*lowest);
        let (symbol, offset) = (kernel.symbol_at(GuestVirtAddr(address))).expect(line);
        assert_eq!(offset, 0, "{line} is {symbol}");
    }
    for (name, address) in addresses {
        let expected = Some(GuestVirtAddr(address));
        assert_eq!(kernel.address_of(name), expected, "{name}");
        assert_eq!(later.address_of(name), expected, "{name}");
    }
    assert!(
        kernel
            .version()
            .is_some_and(|version| version.starts_with("Linux version 6."))
    );
    assert_eq!(kernel.version(), later.version());
}

#[test]
fn mappings_are_those_of_proc_maps() {
    let script = "echo begin; cat /proc/self/maps; echo end";
    let mut run = GuestRun::of_script(script);
    let task = run.run_to_call("cat", &WRITES);
    let cat = run.kernel.view(&run.machine).mappings(&task);
    let expected: Vec<String> = cat.iter().map(maps_line).collect();
    let printed = run.finish();
    assert_eq!(between(&printed, "begin", "end"), expected, "{printed}");
    assert!(expected.iter().any(|line| line.ends_with("[heap]")));
    assert!(expected.iter().any(|line| line.ends_with("/bin/busybox")));
}

#[test]
fn mappings_of_many_kinds_are_those_of_proc_maps() {
    // Threads have mapped stacks; the file that the workers run from is removed under their feet.
    let script = "cp /demos/race /tmp/race; /tmp/race & rm /tmp/race; \
        echo begin; cat /proc/$!/maps; echo end; kill $!";
    let mut run = GuestRun::of_script(script);
    run.run_to_call("cat", &WRITES);
    let view = run.kernel.view(&run.machine);
    let tasks = view.tasks();
    let race = tasks
        .iter()
        .find(|task| task.name == "race")
        .expect("race runs");
    let expected: Vec<String> = view.mappings(race).iter().map(maps_line).collect();
    assert_eq!(
        view.executable(race).as_deref(),
        Some(&b"/tmp/race (deleted)"[..])
    );
    let printed = run.finish();
    assert_eq!(between(&printed, "begin", "end"), expected, "{printed}");
}

/// A program that maps five hundred pages, no two alike that touch each other, and prints `/proc/self/maps`.
fn program_with_many_mappings() -> Vec<u8> {
    const CODE: u64 = 0x1_0000;
    const DATA: u32 = 0x2_0000;
    let [zero, s0, s1, a0, a1, a2, a3, a4, a5, a7] = [0, 8, 9, 10, 11, 12, 13, 14, 15, 17];
    let set = |register, value| encode::i(Op::Addi, register, zero, value);
    let copy = |to, from| encode::i(Op::Addi, to, from, 0);
    let address = |register, page| encode::u(Op::Lui, register, page);
    let call = encode::i(Op::Ecall, 0, 0, 0);
    let buffer = (DATA >> 12) + 1;
    let code = [
        set(s0, 500),
        // mmap(0, 4096, PROT_READ or PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        set(a0, 0),
        address(a1, 1),
        encode::i(Op::Andi, a2, s0, 1),
        encode::r(Op::Add, a2, a2, a2),
        encode::i(Op::Addi, a2, a2, 1),
        set(a3, 0x22),
        set(a4, -1),
        set(a5, 0),
        set(a7, 222),
        call,
        encode::i(Op::Addi, s0, s0, -1),
        encode::b(Op::Bne, s0, zero, -11 * 4),
        // openat(AT_FDCWD, ...)
        set(a0, -100),
        address(a1, DATA >> 12),
        set(a2, 0),
        set(a7, 56),
        call,
        copy(s1, a0),
        // read, then write what was read, until there is nothing
        copy(a0, s1),
        address(a1, buffer),
        address(a2, 1),
        set(a7, 63),
        call,
        encode::b(Op::Bge, zero, a0, 7 * 4),
        copy(a2, a0),
        set(a0, 1),
        address(a1, buffer),
        set(a7, 64),
        call,
        encode::j(Op::Jal, zero, -11 * 4),
        set(a0, 0),
        set(a7, 93),
        call,
    ];
    let mut data = b"/proc/self/maps\0".to_vec();
    data.resize(2 * 4096, 0);
    let segment = |address, bytes, permission| Segment {
        address,
        bytes,
        permission,
    };
    let code = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    elf::executable(
        CODE,
        &[
            segment(CODE, code, Permission::Code),
            segment(DATA.into(), data, Permission::Data),
        ],
    )
}

#[test]
fn more_mappings_than_a_node_holds_are_those_of_proc_maps() {
    let program = program_with_many_mappings();
    let mut run = GuestRun::with_program("echo begin; /program; echo end", program);
    let task = run.run_to_call("program", &WRITES);
    let view = run.kernel.view(&run.machine);
    let mappings = view.mappings(&task);
    let expected: Vec<String> = mappings.iter().map(maps_line).collect();
    // Nobody has touched them: they read as zeros.
    for mapping in mappings.iter().filter(|mapping| mapping.file.is_none()) {
        let mut byte = [1];
        let read = view.read_task_memory(&task, GuestVirtAddr(mapping.end.0 - 1), &mut byte);
        let is_plain = mapping.label.is_none();
        assert!(!is_plain || (read, byte) == (1, [0]), "{mapping:?}");
    }
    let printed = run.finish();
    assert_eq!(between(&printed, "begin", "end"), expected, "{printed}");
    assert!(expected.len() > 500, "{} mappings", expected.len());
}

#[test]
fn a_process_with_another_root_sees_paths_from_there() {
    let script = "mkdir -p /tmp/jail/bin; cp /bin/busybox /tmp/jail/bin; ln -s bin/busybox /tmp/jail/sleep; \
        chroot /tmp/jail /sleep 9";
    let mut run = GuestRun::of_script(script);
    let task = run.run_to_call("sleep", &SLEEPS);
    let view = run.kernel.view(&run.machine);
    assert_eq!(
        view.executable(&task).as_deref(),
        Some(&b"/bin/busybox"[..])
    );
    let file = view.executable_file(&task).expect("it is executed");
    let found = ["/sleep", "/bin/../../bin/busybox"];
    for path in found {
        assert_eq!(
            view.find_file_of(&task, path.as_bytes()),
            Some(file),
            "{path}"
        );
    }
    assert_eq!(view.find_file(b"/tmp/jail/bin/busybox"), Some(file));
    assert_ne!(view.find_file(b"/bin/busybox"), Some(file));
    assert_eq!(view.find_file(b"/sleep"), None);
}

#[test]
fn open_files_are_those_of_proc_fd() {
    let script = "exec 5</etc/passwd 6>/tmp/out 7<>/dev/null; read line <&5; echo written >&6; rm /tmp/out; \
        echo begin; (sleep 100 | cat /proc/self/fdinfo/5 /proc/self/fdinfo/6 /dev/fd/../fdinfo/0; echo links; \
        exec ls --color=never -l /proc/self/fd) & wait $!; echo end";
    let mut run = GuestRun::of_script(script);
    run.run_to_call("cat", &WRITES);
    let files_of = |view: &LinuxView<'_>, task: &Task| -> BTreeMap<u32, (String, u64, u32)> {
        let files = view.open_files(task);
        let describe = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        (files.into_iter())
            .map(|file| (file.fd, (describe(&file.path), file.position, file.flags)))
            .collect()
    };
    let view = run.kernel.view(&run.machine);
    let cat = files_of(&view, &view.current(CPU).expect("cat runs"));
    let ls = run.run_to_call("ls", &WRITES);
    let ls = files_of(&run.kernel.view(&run.machine), &ls);
    let printed = run.finish();
    let lines = between(&printed, "begin", "end");
    let numbers = |key: &str, radix| -> Vec<u64> {
        let values = lines.iter().filter_map(|line| line.strip_prefix(key));
        let parse = |value: &str| u64::from_str_radix(value.trim(), radix).expect("a number");
        values.map(parse).collect()
    };
    let of_cat = |fd: u32| cat.get(&fd).expect("it is open");
    assert_eq!(
        numbers("pos:", 10),
        [of_cat(5).1, of_cat(6).1, of_cat(0).1],
        "{printed}"
    );
    assert_eq!(
        numbers("flags:", 8),
        [of_cat(5).2, of_cat(6).2, of_cat(0).2].map(u64::from),
        "{printed}"
    );
    assert!(of_cat(0).0.starts_with("pipe:["), "{cat:?}");
    let links: Vec<(u32, &str)> = (lines.iter())
        .filter_map(|line| {
            let (left, target) = line.split_once(" -> ")?;
            let fd = left.split_whitespace().last()?.parse().ok()?;
            Some((fd, target))
        })
        .collect();
    assert!(links.len() > 5, "{printed}");
    for (fd, target) in links {
        assert_eq!(
            ls.get(&fd).map(|file| &*file.0),
            Some(target),
            "{fd} in {printed}"
        );
    }
}

#[test]
fn arguments_and_auxv_are_those_of_proc() {
    let script = "echo begin; od -An -v -tx1 -w16 /proc/self/cmdline; echo auxv; od -An -v -tx8 -w16 /proc/self/auxv; echo end";
    let mut run = GuestRun::of_script(script);
    let task = run.run_to_call("od", &WRITES);
    let view = run.kernel.view(&run.machine);
    let mut arguments = view.arguments(&task).join(&0);
    arguments.push(0);
    assert_eq!(
        view.executable(&task).as_deref(),
        Some(&b"/bin/busybox"[..])
    );
    // The first `od` must end before the second comes.
    run.run_to_call("sh", &WRITES);
    let task = run.run_to_call("od", &WRITES);
    let auxv = run
        .kernel
        .view(&run.machine)
        .auxv(&task)
        .expect("it has one");
    let printed = run.finish();
    let words = |lines: Vec<&str>| -> Vec<String> {
        let words = lines.into_iter().flat_map(str::split_whitespace);
        words.map(str::to_owned).collect()
    };
    let bytes: Vec<String> = arguments.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        words(between(&printed, "begin", "auxv")),
        bytes,
        "{printed}"
    );
    let numbers: Vec<String> = (auxv.as_chunks::<8>().0.iter())
        .map(|number| format!("{:016x}", u64::from_le_bytes(*number)))
        .collect();
    let told = words(between(&printed, "auxv", "end"));
    // The kernel prints up to and with the end mark, as it is here.
    assert_eq!(told, numbers, "{printed}");
}

#[test]
fn tasks_are_those_of_proc() {
    let script = "sh -c 'sh -c \"sleep 0; exit 3\" & exec sleep 100' & sleep 1; /demos/race & \
        echo begin; exec cat /proc/[0-9]*/task/[0-9]*/stat";
    let mut run = GuestRun::of_script(script);
    run.run_to_call("cat", &WRITES);
    // The calls up to the last write see what the last of the files says.
    let view = run.kernel.view(&run.machine);
    let seen: BTreeMap<u32, Task> = (view.tasks().into_iter())
        .map(|task| (task.tid, task))
        .collect();
    let printed = run.finish();
    let lines = between(&printed, "begin", "end");
    let lines: Vec<&&str> = lines.iter().filter(|line| line.contains(") ")).collect();
    let told = lines
        .iter()
        .map(|line| line.split(' ').next().unwrap_or_default());
    let told: BTreeSet<String> = told.map(str::to_owned).collect();
    let tids: BTreeSet<String> = seen.keys().map(u32::to_string).collect();
    assert_eq!(told, tids, "{printed}");
    for line in lines {
        let (id, rest) = line.split_once(" (").expect("an id");
        let (name, rest) = rest.rsplit_once(") ").expect("a name");
        let task = seen.get(&id.parse().expect("a number")).expect(line);
        let mut words = rest.split(' ');
        let (state, parent) = (words.next(), words.next());
        // Of a worker of the kernel's, /proc tells what it works at as well.
        assert!(name.starts_with(&*task.name), "{line} {task:?}");
        assert_eq!(
            parent,
            Some(&*task.parent_tgid.to_string()),
            "{line} {task:?}"
        );
        // The workers of the race may have run meanwhile, and the console's thread is woken by what is written.
        if task.name != "race" && task.name != "khvcd" {
            assert_eq!(
                state,
                Some(&*task.state.letter().to_string()),
                "{line} {task:?}"
            );
        }
    }
    let named = |name: &str| seen.values().filter(|task| task.name == name).count();
    assert_eq!((named("init"), named("race"), named("cat")), (1, 3, 1));
    assert_eq!(seen[&1].name, "init");
    let dead = seen
        .values()
        .find(|task| task.state.letter() == 'Z')
        .expect("a zombie");
    assert_eq!((&*dead.name, dead.wait_status), ("sh", Some(3 << 8)));
    assert!(
        seen.values()
            .all(|task| task.wait_status.is_none() || task == dead)
    );
}

#[test]
fn files_are_those_of_the_initial_file_system() {
    let script = "mkdir -p /tmp/a/b; echo inside > /tmp/a/b/c; ln -s ../a/b/c /tmp/a/link; ln -s /tmp/a /run/far; \
        dots=./././././././././././././././././././; ln -s $dots$dots$dots$dots$dots./b/c /tmp/a/long; \
        dd if=/dev/zero of=/tmp/hole bs=1 count=1 seek=99999 2>/dev/null; sleep 1";
    let mut run = GuestRun::of_script(script);
    run.run_to_call("sleep", &SLEEPS);
    let view = run.kernel.view(&run.machine);
    let [_, initrd] = images();
    for path in ["demos/race", "bin/busybox", "init", "etc/passwd"] {
        let expected = file_of_cpio(initrd, path).expect("the initrd has it");
        let file = view.find_file(format!("/{path}").as_bytes()).expect(path);
        assert_eq!(file.size, expected.len() as u64, "{path}");
        let mut bytes = vec![0; expected.len() + 10];
        assert_eq!(
            view.read_file(&file, 0, &mut bytes),
            Some(expected.len()),
            "{path}"
        );
        assert!(bytes[..expected.len()] == *expected, "{path}");
        assert_eq!(view.read_file(&file, file.size, &mut bytes), Some(0));
        let mut part = [0; 7];
        assert_eq!(view.read_file(&file, 3, &mut part), Some(7));
        assert_eq!(part, expected[3..10]);
    }
    let text = |path: &str| {
        let file = view.find_file(path.as_bytes())?;
        let mut bytes = [0; 32];
        let length = view.read_file(&file, 0, &mut bytes)?;
        Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
    };
    for path in [
        "/tmp/a/b/c",
        "/tmp/a/link",
        "/tmp/a/long",
        "/run/far/link",
        "//run/./far/../a/b/../../../tmp/a/b/c",
        "/../../tmp/a/b/c",
    ] {
        assert_eq!(text(path).as_deref(), Some("inside\n"), "{path}");
    }
    for path in ["/tmp/a/b/d", "/tmp/a/b/c/d", "/nowhere", "/tmp/a/b/c/../c"] {
        let found = view.find_file(path.as_bytes());
        assert!(found.is_none() || path.ends_with("../c"), "{path}");
    }
    let hole = view.find_file(b"/tmp/hole").expect("a file with a hole");
    let mut bytes = vec![1; 100_000];
    assert_eq!(view.read_file(&hole, 0, &mut bytes), Some(100_000));
    assert!(bytes.iter().all(|byte| *byte == 0));
}

#[test]
fn memory_that_was_not_touched_is_read_from_where_it_would_come() {
    let mut run = GuestRun::of_script("/demos/race");
    // Early, when little of the program has been touched.
    let task = run.run_to_call("race", &[214]);
    let view = run.kernel.view(&run.machine);
    let [_, initrd] = images();
    let expected = file_of_cpio(initrd, "demos/race").expect("the initrd has it");
    let mappings = view.mappings(&task);
    let text = mappings
        .iter()
        .find(|mapping| mapping.is_executable)
        .expect("text");
    let file = text.file.as_ref().expect("text comes from a file");
    let length = (text.end.0 - text.start.0) as usize;
    let mut bytes = vec![0; length];
    assert_eq!(view.read_task_memory(&task, text.start, &mut bytes), length);
    let start = file.offset as usize;
    let in_file = length.min(expected.len() - start);
    assert!(bytes[..in_file] == expected[start..start + in_file]);
    let absent = (text.start.0..text.end.0).step_by(4096).filter(|page| {
        let space = task.space.expect("it has one");
        let at = GuestVirtAddr(*page);
        reprise_core::riscv::view::translate(run.machine.memory(), space, at).is_none()
    });
    assert!(absent.count() > 10, "much of the text was not touched");
    let mapped = view
        .mapped_file(&task, text.start)
        .expect("a file is there");
    assert_eq!(Some(mapped), view.find_file(b"/demos/race"));
    // All else can be read as well, the vdso above all, and nothing between.
    for mapping in &mappings {
        let mut first = [0; 4];
        let read = view.read_task_memory(&task, mapping.start, &mut first);
        assert!(
            read == 4 || mapping.label.as_deref() == Some("[vvar]"),
            "{mapping:?}"
        );
        if mapping.label.as_deref() == Some("[vdso]") {
            assert_eq!(&first, b"\x7fELF");
        }
    }
    let mut byte = [0];
    assert_eq!(view.read_task_memory(&task, GuestVirtAddr(0), &mut byte), 0);
    assert_eq!(
        view.read_task_memory(&task, GuestVirtAddr(u64::MAX), &mut [0; 8]),
        0
    );
    assert_eq!(
        view.read_task_memory(&task, GuestVirtAddr(u64::MAX / 2), &mut [0; 8]),
        0
    );
}
