//! `cargo xtask ci` and `cargo xtask test`: what must be green, stage by stage.

use std::process::Command;
use std::time::Instant;

use crate::tools::{WASM_TARGET, build_reprise, build_wasm, cached_tool, cargo, run};
use crate::{Failure, Result, checkout, demo, guest, setup, test_images, web_test};

/// What the tests need beside what the guest needs: the oracles, debuggers, a C compiler for wasm, a runtime for it.
const TEST_PACKAGES: &[&str] = &[
    "clang-19",
    "docker-registry",
    "erofs-utils",
    "g++",
    "gdb-multiarch",
    "lldb-19",
    "llvm-19",
    "openssl",
    "qemu-user",
    "skopeo",
    "umoci",
];
/// What compiles without an operating system.
const WASM_PACKAGES: &[&str] = &[
    "reprise-core",
    "reprise-traces",
    "reprise-recorder",
    "reprise-debugger",
    "reprise-host",
    "reprise-worker",
    "reprise-wasm-replay",
    "reprise-ui",
];
const CARGO_DENY_VERSION: &str = "0.20.2";
/// The binaries in `tests/fuzz`, whose seeds have the same names.
const FUZZ_TARGETS: &[&str] = &[
    "trace_reader",
    "packed_trace",
    "elf_loader",
    "gdb_packets",
    "workspace",
    "container",
    "image_tree",
    "frames",
    "http",
];
/// Seconds for which each fuzz target runs in CI.
const FUZZ_SECONDS: u32 = 60;

const CI_USAGE: &str = "\
Usage: cargo xtask ci

Formatting, lints (native and wasm32), documentation, licences and sources of dependencies, `cargo xtask test`,
reproducibility of the initrd, a minute of fuzzing for each target, the page in a browser, and the demo. Prints the seconds
of each stage.
";

const TEST_USAGE: &str = "\
Usage: cargo xtask test [FILTER]

Installs what is missing, builds the guest, container images of Debian, the binary and the wasm module, and runs every test. A FILTER runs only the
tests whose name contains it.
";

fn wants_help(arguments: &[String], usage: &str) -> bool {
    let wants = arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h");
    if wants {
        print!("{usage}");
    }
    wants
}

/// Stages with their names and seconds.
struct Stages {
    seconds: Vec<(&'static str, f64)>,
}

impl Stages {
    fn run(&mut self, name: &'static str, stage: impl FnOnce() -> Result<()>) -> Result<()> {
        eprintln!("== {name}");
        let started = Instant::now();
        let outcome = stage();
        self.seconds.push((name, started.elapsed().as_secs_f64()));
        outcome.map_err(|failure| Failure {
            message: format!("stage {name}: {}", failure.message),
            ..failure
        })
    }

    fn print(&self) {
        println!("seconds by stage:");
        for (name, seconds) in &self.seconds {
            println!("{seconds:8.1}  {name}");
        }
        println!(
            "{:8.1}  all",
            self.seconds.iter().map(|(_, seconds)| seconds).sum::<f64>()
        );
    }
}

/// `cargo xtask ci`.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    if wants_help(arguments, CI_USAGE) {
        return Ok(());
    }
    if let Some(argument) = arguments.first() {
        return Err(Failure::usage(format!(
            "`ci` knows no `{argument}`\n\n{CI_USAGE}"
        )));
    }
    let mut stages = Stages {
        seconds: Vec::new(),
    };
    let outcome = ci(&mut stages);
    stages.print();
    outcome
}

fn ci(stages: &mut Stages) -> Result<()> {
    stages.run("set-up", set_up)?;
    stages.run("format", || run(&mut cargo(&["fmt", "--all", "--check"])))?;
    stages.run("clippy", || {
        let lints = [
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ];
        run(cargo(&["clippy"]).args(lints))
    })?;
    stages.run("clippy for wasm32", || {
        let mut command = cargo(&["clippy", "--quiet", "--target", WASM_TARGET]);
        for package in WASM_PACKAGES {
            command.args(["--package", package]);
        }
        run(command.args(["--", "-D", "warnings"]))
    })?;
    stages.run("documentation", || {
        run(cargo(&["doc", "--quiet", "--workspace", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    stages.run("dependencies", || {
        let deny = cached_tool("cargo-deny", CARGO_DENY_VERSION)?;
        let checks = [
            "--log-level",
            "error",
            "check",
            "bans",
            "licenses",
            "sources",
        ];
        run(Command::new(deny).current_dir(checkout()).args(checks))
    })?;
    stages.run("test", || test(None))?;
    stages.run("reproducible initrd", || {
        guest::command(&["--check-reproducible".to_owned()])
    })?;
    stages.run("fuzz", || fuzz(FUZZ_SECONDS))?;
    stages.run("web", || web_test::test(None))?;
    stages.run("demo", || demo::command(&[]))
}

/// Installs everything that any stage needs, in one go.
pub(crate) fn set_up() -> Result<()> {
    let mut packages = [setup::GUEST_PACKAGES, TEST_PACKAGES, test_images::PACKAGES].concat();
    if !crate::process::is_on_path("node") {
        packages.push("nodejs");
    }
    setup::packages(&packages)?;
    setup::rust_targets(&[setup::GUEST_TARGET, WASM_TARGET])
}

/// `cargo xtask test`.
pub(crate) fn test_command(arguments: &[String]) -> Result<()> {
    if wants_help(arguments, TEST_USAGE) {
        return Ok(());
    }
    match arguments {
        [] => test(None),
        [filter] if !filter.starts_with('-') => test(Some(filter)),
        _ => Err(Failure::usage(format!(
            "`test` takes one filter at the most\n\n{TEST_USAGE}"
        ))),
    }
}

fn test(filter: Option<&str>) -> Result<()> {
    test_with(filter, &[])
}

/// Runs the tests with more in their environment.
pub(crate) fn test_with(filter: Option<&str>, environment: &[(&str, &str)]) -> Result<()> {
    set_up()?;
    guest::build()?;
    test_images::build()?;
    let reprise = build_reprise()?;
    let wasm = build_wasm()?;
    let has_nextest = cargo(&["nextest", "--version"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let mut command = if has_nextest {
        cargo(&[
            "nextest",
            "run",
            "--workspace",
            "--no-fail-fast",
            "--status-level",
            "slow",
        ])
    } else {
        cargo(&["test", "--workspace", "--no-fail-fast"])
    };
    command
        .env("REPRISE_BIN", reprise)
        .env("REPRISE_WASM", wasm)
        .envs(environment.iter().copied());
    run(command.args(filter))
}

/// Runs each fuzz target for a bounded time, coverage-guided, on the stable compiler.
pub(crate) fn fuzz(seconds: u32) -> Result<()> {
    let folder = checkout().join("tests/fuzz");
    let host = host_target()?;
    let target_folder = crate::tools::target_folder().join("fuzz");
    let flags = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                 -Ccodegen-units=1 -Cdebug-assertions=on -Coverflow-checks=on";
    let mut build = cargo(&["build", "--quiet", "--release", "--target", &host]);
    for target in FUZZ_TARGETS {
        build.args(["--bin", target]);
    }
    // The flags are for the target alone: build scripts run on the host without the fuzzer's runtime.
    run(build
        .current_dir(&folder)
        .env("RUSTFLAGS", flags)
        .env("CARGO_TARGET_DIR", &target_folder))?;
    let seeds = target_folder.join("seeds");
    let mut make_seeds = cargo(&["run", "--quiet", "--release", "--bin", "seeds", "--"]);
    run(make_seeds
        .arg(&seeds)
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", target_folder.join("host")))?;
    // Side by side: each has a minute of the clock, and a machine with a few processors has as many minutes for them.
    let mut running = Vec::new();
    for target in FUZZ_TARGETS.iter().copied() {
        // What earlier runs found interesting is kept in the cache and grows.
        let corpus = crate::cache::root()?.join("fuzz").join(target);
        crate::files::make_folder(&corpus)?;
        let artifacts = target_folder.join("artifacts").join(target);
        crate::files::make_folder(&artifacts)?;
        eprintln!("fuzzing {target} for {seconds} s");
        let mut fuzz = Command::new(target_folder.join(&host).join("release").join(target));
        fuzz.arg(&corpus)
            .arg(seeds.join(target))
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args([
                "-rss_limit_mb=1024",
                "-timeout=10",
                "-max_len=65536",
                "-verbosity=0",
                "-print_final_stats=1",
            ]);
        let child = fuzz.spawn().map_err(|error| {
            Failure::new(format!("can't run the fuzz target {target}: {error}"))
        })?;
        running.push((target, child));
    }
    let mut failed = Vec::new();
    for (target, mut child) in running {
        if !child.wait().is_ok_and(|status| status.success()) {
            failed.push(target);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "fuzzing found something in {}: see {}",
        failed.join(", "),
        target_folder.join("artifacts").display()
    )))
}

fn host_target() -> Result<String> {
    let version = crate::process::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| Failure::new("rustc does not say what its host is"))
}
