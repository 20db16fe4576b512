//! Where the members lie that are read, for one kernel.

use super::btf::{Btf, Member};

macro_rules! layouts {
    ($(
        $(#[$doc:meta])*
        $layout:ident = $structure:literal {
            $($field:ident: $path:literal,)*
            $(? { $($maybe:ident: $maybe_path:literal,)* })?
        }
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug)]
            pub(super) struct $layout {
                $(pub(super) $field: Member,)*
                $($(pub(super) $maybe: Option<Member>,)*)?
            }

            impl $layout {
                pub(super) fn resolve(btf: &Btf<'_>) -> Result<Self, String> {
                    let structure = $structure;
                    Ok(Self {
                        $($field: btf.member(structure, $path)
                            .ok_or_else(|| lacking(structure, $path))?,)*
                        $($($maybe: btf.member(structure, $maybe_path),)*)?
                    })
                }
            }
        )*
    };
}

fn lacking(structure: &str, member: &str) -> String {
    format!("the kernel's type information has no `{member}` in `struct {structure}`")
}

fn size_of(btf: &Btf<'_>, structure: &str) -> Result<u64, String> {
    let size = btf.structure_bytes(structure);
    size.ok_or_else(|| format!("the kernel's type information has no `struct {structure}`"))
}

layouts! {
    /// include/linux/sched.h
    TaskLayout = "task_struct" {
        state: "__state",
        stack: "stack",
        flags: "flags",
        tasks: "tasks",
        mm: "mm",
        exit_state: "exit_state",
        exit_code: "exit_code",
        pid: "pid",
        tgid: "tgid",
        real_parent: "real_parent",
        group_leader: "group_leader",
        thread_node: "thread_node",
        comm: "comm",
        fs: "fs",
        files: "files",
        signal: "signal",
        thread_ra: "thread.ra",
        thread_sp: "thread.sp",
        thread_s: "thread.s",
        // The current task is found by its thread_info, which is the task's beginning.
        thread_info: "thread_info",
        ? {
            thread_f: "thread.fstate.f",
            thread_fcsr: "thread.fstate.fcsr",
        }
    }
    /// include/linux/sched/signal.h
    SignalLayout = "signal_struct" {
        thread_head: "thread_head",
        flags: "flags",
        group_exit_code: "group_exit_code",
    }
    /// arch/riscv/include/asm/ptrace.h
    RegistersLayout = "pt_regs" {
        pc: "epc",
        x1: "ra",
        x31: "t6",
        status: "status",
        cause: "cause",
    }
    /// include/linux/signal_types.h
    KsignalLayout = "ksignal" {
        signal: "sig",
    }
    /// arch/riscv/include/asm/page.h
    KernelMapLayout = "kernel_mapping" {
        page_offset: "page_offset",
        va_pa_offset: "va_pa_offset",
        virt_addr: "virt_addr",
    }
    /// include/linux/mm_types.h
    MmLayout = "mm_struct" {
        maple_root: "mm_mt.ma_root",
        pgd: "pgd",
        start_brk: "start_brk",
        brk: "brk",
        start_stack: "start_stack",
        arg_start: "arg_start",
        arg_end: "arg_end",
        saved_auxv: "saved_auxv",
        exe_file: "exe_file",
    }
    /// include/linux/mm_types.h
    VmaLayout = "vm_area_struct" {
        start: "vm_start",
        end: "vm_end",
        flags: "vm_flags",
        page_offset: "vm_pgoff",
        file: "vm_file",
        operations: "vm_ops",
        private_data: "vm_private_data",
        ? {
            anon_name: "anon_name",
        }
    }
    /// include/linux/maple_tree.h
    MapleRangeLayout = "maple_range_64" {
        pivot: "pivot",
        slot: "slot",
    }
    /// include/linux/maple_tree.h
    MapleArangeLayout = "maple_arange_64" {
        pivot: "pivot",
        slot: "slot",
    }
    /// include/linux/xarray.h
    XaNodeLayout = "xa_node" {
        shift: "shift",
        slots: "slots",
    }
    /// include/linux/mm_types.h
    FolioLayout = "folio" {
        flags: "flags",
        index: "index",
    }
    /// include/linux/fs.h
    AddressSpaceLayout = "address_space" {
        host: "host",
        pages_head: "i_pages.xa_head",
    }
    /// include/linux/fs.h
    FileLayout = "file" {
        mode: "f_mode",
        flags: "f_flags",
        position: "f_pos",
        path: "f_path",
        inode: "f_inode",
        mapping: "f_mapping",
    }
    /// include/linux/path.h
    PathLayout = "path" {
        mount: "mnt",
        dentry: "dentry",
    }
    /// include/linux/fs.h
    InodeLayout = "inode" {
        mode: "i_mode",
        super_block: "i_sb",
        mapping: "i_mapping",
        ino: "i_ino",
        size: "i_size",
        link: "i_link",
    }
    /// include/linux/fs.h
    SuperBlockLayout = "super_block" {
        device: "s_dev",
        magic: "s_magic",
    }
    /// include/linux/dcache.h
    DentryLayout = "dentry" {
        parent: "d_parent",
        name: "d_name.name",
        name_len: "d_name.len",
        inode: "d_inode",
        hash_pprev: "d_hash.pprev",
        operations: "d_op",
        ? {
            // Since 6.8 children are an hlist.
            children: "d_children",
            sibling: "d_sib",
            subdirs: "d_subdirs",
            child: "d_child",
        }
    }
    /// include/linux/dcache.h
    DentryOperationsLayout = "dentry_operations" {
        dname: "d_dname",
    }
    /// fs/mount.h
    MountLayout = "mount" {
        parent: "mnt_parent",
        mountpoint: "mnt_mountpoint",
        root: "mnt.mnt_root",
        vfsmount: "mnt",
        children: "mnt_mounts",
        child: "mnt_child",
    }
    /// include/linux/fs_struct.h
    FsLayout = "fs_struct" {
        root: "root",
    }
    /// include/linux/fdtable.h
    FilesLayout = "files_struct" {
        table: "fdt",
    }
    /// include/linux/fdtable.h
    FdTableLayout = "fdtable" {
        count: "max_fds",
        files: "fd",
        close_on_exec: "close_on_exec",
    }
    /// include/linux/module.h, where the kernel has modules.
    ModuleLayout = "module" {
        list: "list",
        name: "name",
        ? {
            // Until 6.3, and since.
            core_base: "core_layout.base",
            core_size: "core_layout.size",
            memory: "mem",
        }
    }
    /// include/linux/module.h, since 6.4.
    ModuleMemoryLayout = "module_memory" {
        base: "base",
        size: "size",
    }
    /// fs/file_table.c, since 6.5.
    BackingFileLayout = "backing_file" {
        user_path: "user_path",
    }
    /// fs/overlayfs/ovl_entry.h
    OverlayInodeLayout = "ovl_inode" {
        inode: "vfs_inode",
        upper: "__upperdentry",
        lower: "oe",
    }
    /// fs/overlayfs/ovl_entry.h
    OverlayEntryLayout = "ovl_entry" {
        count: "__numlower",
        stack: "__lowerstack",
    }
    /// fs/overlayfs/ovl_entry.h
    OverlayPathLayout = "ovl_path" {
        dentry: "dentry",
    }
    /// include/linux/mm_types.h
    SpecialMappingLayout = "vm_special_mapping" {
        name: "name",
        pages: "pages",
    }
}

/// All of them.
#[derive(Clone, Debug)]
pub(super) struct Types {
    pub(super) task: TaskLayout,
    pub(super) signal: SignalLayout,
    pub(super) registers: RegistersLayout,
    pub(super) ksignal: KsignalLayout,
    pub(super) kernel_map: KernelMapLayout,
    pub(super) mm: MmLayout,
    pub(super) vma: VmaLayout,
    pub(super) maple_range: MapleRangeLayout,
    pub(super) maple_arange: MapleArangeLayout,
    pub(super) xa_node: XaNodeLayout,
    pub(super) folio: FolioLayout,
    pub(super) address_space: AddressSpaceLayout,
    pub(super) file: FileLayout,
    pub(super) path: PathLayout,
    pub(super) inode: InodeLayout,
    pub(super) super_block: SuperBlockLayout,
    pub(super) dentry: DentryLayout,
    pub(super) dentry_operations: DentryOperationsLayout,
    pub(super) mount: MountLayout,
    pub(super) fs: FsLayout,
    pub(super) files: FilesLayout,
    pub(super) fd_table: FdTableLayout,
    pub(super) module: Option<ModuleLayout>,
    pub(super) module_memory: Option<ModuleMemoryLayout>,
    pub(super) backing_file: Option<BackingFileLayout>,
    pub(super) special_mapping: Option<SpecialMappingLayout>,
    pub(super) overlay_inode: Option<OverlayInodeLayout>,
    pub(super) overlay_entry: Option<OverlayEntryLayout>,
    pub(super) overlay_path: Option<OverlayPathLayout>,
    /// Number of the page flag `PG_uptodate`.
    pub(super) page_uptodate: u32,
    /// Size of a `struct page`.
    pub(super) page_bytes: u64,
    /// Size of a `struct pt_regs`.
    pub(super) registers_bytes: u64,
}

impl Types {
    /// Finds them all, or says what is missing.
    pub(super) fn resolve(btf: &Btf<'_>) -> Result<Self, String> {
        let types = Self {
            task: TaskLayout::resolve(btf)?,
            signal: SignalLayout::resolve(btf)?,
            registers: RegistersLayout::resolve(btf)?,
            ksignal: KsignalLayout::resolve(btf)?,
            kernel_map: KernelMapLayout::resolve(btf)?,
            mm: MmLayout::resolve(btf)?,
            vma: VmaLayout::resolve(btf)?,
            maple_range: MapleRangeLayout::resolve(btf)?,
            maple_arange: MapleArangeLayout::resolve(btf)?,
            xa_node: XaNodeLayout::resolve(btf)?,
            folio: FolioLayout::resolve(btf)?,
            address_space: AddressSpaceLayout::resolve(btf)?,
            file: FileLayout::resolve(btf)?,
            path: PathLayout::resolve(btf)?,
            inode: InodeLayout::resolve(btf)?,
            super_block: SuperBlockLayout::resolve(btf)?,
            dentry: DentryLayout::resolve(btf)?,
            dentry_operations: DentryOperationsLayout::resolve(btf)?,
            mount: MountLayout::resolve(btf)?,
            fs: FsLayout::resolve(btf)?,
            files: FilesLayout::resolve(btf)?,
            fd_table: FdTableLayout::resolve(btf)?,
            module: ModuleLayout::resolve(btf).ok(),
            module_memory: ModuleMemoryLayout::resolve(btf).ok(),
            backing_file: BackingFileLayout::resolve(btf).ok(),
            special_mapping: SpecialMappingLayout::resolve(btf).ok(),
            overlay_inode: OverlayInodeLayout::resolve(btf).ok(),
            overlay_entry: OverlayEntryLayout::resolve(btf).ok(),
            overlay_path: OverlayPathLayout::resolve(btf).ok(),
            page_uptodate: (btf.enumerator("pageflags", "PG_uptodate"))
                .filter(|bit| *bit < 64)
                .ok_or("the kernel's type information has no page flag `PG_uptodate`")?,
            page_bytes: size_of(btf, "page")?,
            registers_bytes: size_of(btf, "pt_regs")?,
        };
        if types.task.thread_info.offset != 0 {
            return Err("the kernel keeps `thread_info` apart from its tasks".into());
        }
        // Sizes that would let a structure wrap around or a node have no slots are nobody's kernel.
        let sane = 1..1 << 20;
        let sizes = [
            types.page_bytes,
            types.registers_bytes,
            types.xa_node.slots.byte_len,
            types.maple_range.slot.byte_len,
            types.maple_arange.slot.byte_len,
        ];
        if !sizes.iter().all(|size| sane.contains(size)) {
            return Err("the kernel's type information contradicts itself".into());
        }
        Ok(types)
    }
}
