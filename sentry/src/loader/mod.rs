//! Programs into memory: ELF (static, PIE, with an interpreter) and `#!` (`execve(2)`, `elf(5)`).
//!
//! Two halves, as in Linux: [`prepare`] reads and checks everything that can fail while the old program is still there;
//! [`commit`] is past the point of no return, where a failure kills the task.

mod elf;
mod script;
mod stack;

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;
use platform::Prot;

use crate::fs::io::VecSink;
use crate::fs::{File, Stat};
use crate::mm::{MapRequest, Mm, Placement, VmaFlags, page_down, page_up};
use crate::task::{Cx, Resource, Task};

pub use elf::Image;

/// Bytes of arguments and environment together, at most; further bounded by a quarter of `RLIMIT_STACK`.
pub const ARG_MAX: usize = 6 << 20;
/// Longest single string (`MAX_ARG_STRLEN`).
pub const MAX_ARG_STRLEN: usize = 32 * 4096;

/// A program that was found fit to run.
pub struct Prepared {
    /// The file that becomes `/proc/PID/exe`.
    pub file: Arc<File>,
    /// Its attributes when it was checked: set-user-id bits.
    pub stat: Stat,
    /// What `comm` becomes: the last component of the name that was asked for.
    pub comm: Vec<u8>,
    image: Image,
    interpreter: Option<(Arc<File>, Image)>,
    /// `AT_EXECFN`
    filename: Vec<u8>,
    argv: Vec<Vec<u8>>,
    envp: Vec<Vec<u8>>,
}

/// Reads up to `len` bytes of a file at `pos`.
pub fn kernel_read(file: &File, pos: u64, len: usize) -> Result<Vec<u8>> {
    let mut sink = VecSink::new(len);
    let mut at = pos;
    while sink.data.len() < len {
        let n = file.ops.read(file, &mut sink, at)?;
        if n == 0 {
            break;
        }
        at = at.saturating_add(abi::conv::usize64(n));
    }
    Ok(sink.data)
}

/// Checks a program and follows `#!` lines. `file` was opened for execution; `filename` is as `AT_EXECFN` shall show it.
pub fn prepare(
    task: &Arc<Task>,
    file: Arc<File>,
    filename: &[u8],
    argv: Vec<Vec<u8>>,
    envp: Vec<Vec<u8>>,
) -> Result<Prepared> {
    let stack_limit = task.rlimit(Resource::Stack).soft / 4;
    let limit = usize::try_from(stack_limit)
        .unwrap_or(usize::MAX)
        .clamp(128 << 10, ARG_MAX);
    let size: usize = argv.iter().chain(&envp).map(|s| s.len() + 1 + 8).sum::<usize>() + filename.len();
    if size > limit || argv.iter().chain(&envp).any(|s| s.len() >= MAX_ARG_STRLEN) {
        return Err(Errno::E2BIG);
    }
    let comm = filename.rsplit(|&b| b == b'/').next().unwrap_or(filename).to_vec();
    let (mut file, mut argv, mut current) = (file, argv, filename.to_vec());
    // Like Linux, a script may be the interpreter of another, four times over.
    for _ in 0..5 {
        let head = kernel_read(&file, 0, 4096)?;
        if head.is_empty() {
            return Err(Errno::ENOEXEC);
        }
        if let Some(line) = script::parse(head.get(..256.min(head.len())).unwrap_or_default())? {
            let mut new = vec![line.interpreter.clone()];
            new.extend(line.argument);
            new.push(current);
            new.extend(argv.into_iter().skip(1));
            argv = new;
            current = line.interpreter.clone();
            file = crate::fs::open_exec(task, &line.interpreter)?;
            continue;
        }
        let image = Image::read(&file, &head)?;
        let interpreter = match &image.interpreter {
            Some(path) => {
                let file = crate::fs::open_exec(task, path)?;
                let head = kernel_read(&file, 0, 4096)?;
                let image =
                    Image::read(&file, &head).map_err(|e| if e == Errno::ENOEXEC { Errno::ELIBBAD } else { e })?;
                Some((file, image))
            }
            None => None,
        };
        let stat = file.inode().stat()?;
        if argv.is_empty() {
            // Since Linux 5.18 a program always has a name.
            argv.push(Vec::new());
        }
        return Ok(Prepared {
            stat,
            comm,
            image,
            interpreter,
            filename: filename.to_vec(),
            argv,
            envp,
            file,
        });
    }
    Err(Errno::ELOOP)
}

/// Random page offset below `1 << bits` pages.
fn random_pages(bits: u32) -> u64 {
    let mut raw = [0u8; 8];
    let filled = rustix::rand::getrandom(&mut raw, rustix::rand::GetRandomFlags::empty());
    if filled != Ok(raw.len()) {
        return 0;
    }
    (u64::from_le_bytes(raw) & ((1 << bits) - 1)) << 12
}

/// Replaces the task's program. The task is the only one of its group, with credentials and signal state changed already.
/// After an error the caller kills it.
pub async fn commit(cx: &mut Cx, program: &Prepared) -> Result<()> {
    let aspace = cx.ctx.exec().await?;
    let guest_end = cx.task.kernel.platform.guest_end();
    let mm = Mm::new(aspace, guest_end);
    cx.task.set_mm(Some(mm.clone()));
    cx.mm = mm.clone();
    mm.set_exe(Some(program.file.clone()));
    mm.aspace().set_title(&program.comm, &program.argv.join(&b' '));
    cx.ctx.queue(platform::MemOp::Name);

    // Linux's layout: stack at the top, mappings below a gap for its growth, PIE at two thirds, heap behind the program.
    let stack_top = guest_end - 4096 - random_pages(16);
    let limit = cx.task.rlimit(Resource::Stack).soft;
    let strings: usize = program.argv.iter().chain(&program.envp).map(|s| s.len() + 9).sum();
    let need = page_up(abi::conv::usize64(strings) + (256 << 10)).ok_or(Errno::ENOMEM)?;
    let stack_size = page_up(limit.clamp(need, 256 << 20)).ok_or(Errno::ENOMEM)?;
    let gap = stack_size.max(128 << 20) + (1 << 20);
    mm.update_layout(|l| l.mmap_base = stack_top - gap - random_pages(16));
    let limits = cx.task.group.rlimits();

    let prot = if program.image.exec_stack {
        Prot::all()
    } else {
        Prot::READ | Prot::WRITE
    };
    let stack = MapRequest {
        place: Placement::Fixed(stack_top - stack_size),
        len: stack_size,
        prot,
        flags: VmaFlags::STACK | VmaFlags::NORESERVE,
        object: None,
        populate: false,
    };
    mm.map(&mut *cx.ctx, &stack, &limits)?;
    // So that what is mapped next is judged by the stack that is used.
    mm.update_layout(|l| l.start_stack = stack_top - 16);

    let base = if program.image.position_independent {
        page_down(guest_end / 3 * 2) + random_pages(20)
    } else {
        0
    };
    let bias = map_image(cx, &mm, &program.file, &program.image, Some(base))?;
    let (entry, interpreter_base) = match &program.interpreter {
        Some((file, image)) => {
            let interpreter_bias = map_image(cx, &mm, file, image, None)?;
            (
                interpreter_bias.wrapping_add(image.entry),
                interpreter_bias.wrapping_add(image.lowest()),
            )
        }
        None => (bias.wrapping_add(program.image.entry), 0),
    };
    let end = bias.wrapping_add(program.image.highest());
    let brk = page_up(end).ok_or(Errno::ENOMEM)?.saturating_add(random_pages(13));
    let code = program.image.code_range();
    let data = program.image.data_range();
    // One that cannot be made to show the namespace's clocks is not shown: programs ask then.
    let shifted = cx.task.ns().time.is_shifted();
    let right = |vdso: &platform::Vdso| !shifted || mm.aspace().divert_clocks(vdso).is_ok();
    let vdso = cx.ctx.vdso().filter(right);
    mm.update_layout(|l| {
        l.start_brk = brk;
        l.brk = brk;
        l.start_code = bias.wrapping_add(code.0);
        l.end_code = bias.wrapping_add(code.1);
        l.start_data = bias.wrapping_add(data.0);
        l.end_data = bias.wrapping_add(data.1);
        l.vdso = vdso;
    });
    cx.ctx.flush().await.map_err(|f| f.errno)?;
    zero_tails(&mm, &program.image, bias)?;
    if let Some((_, image)) = &program.interpreter {
        zero_tails(&mm, image, interpreter_base.wrapping_sub(image.lowest()))?;
    }

    let stack = stack::Build {
        program,
        cred: &cx.task.cred(),
        phdr: bias.wrapping_add(program.image.phdr_vaddr()),
        entry: bias.wrapping_add(program.image.entry),
        interpreter_base,
        vdso,
        minsigstksz: cx.ctx.fpu().map_or(2048, |f| f.len()) + 1024,
    };
    let built = stack.build(stack_top)?;
    if mm.aspace().write(built.sp, &built.bytes) != built.bytes.len() {
        return Err(Errno::EFAULT);
    }
    mm.update_layout(|l| {
        l.start_stack = built.sp;
        (l.arg_start, l.arg_end) = built.args;
        (l.env_start, l.env_end) = built.env;
        l.auxv = built.auxv;
    });
    let regs = cx.ctx.regs_mut();
    *regs = abi::regs::Regs {
        rip: entry,
        rsp: built.sp,
        orig_rax: u64::MAX,
        eflags: 0x202,
        cs: abi::regs::USER_CS,
        ss: abi::regs::USER_DS,
        ..abi::regs::Regs::default()
    };
    Ok(())
}

/// Maps the segments; gives what is to be added to the file's addresses.
fn map_image(cx: &mut Cx, mm: &Arc<Mm>, file: &Arc<File>, image: &Image, base: Option<u64>) -> Result<u64> {
    let limits = cx.task.group.rlimits();
    let (low, high) = (image.lowest(), image.highest());
    let span = page_up(high - low).ok_or(Errno::ENOMEM)?;
    let bias = if !image.position_independent {
        0
    } else {
        let align = image.align();
        let start = match base {
            Some(base) => base & !(align - 1),
            None => mm.find_free(span + align).ok_or(Errno::ENOMEM)?.next_multiple_of(align),
        };
        start.wrapping_sub(low)
    };
    for segment in image.loads() {
        let prot = segment.prot();
        let vaddr = bias.wrapping_add(segment.vaddr);
        let start = page_down(vaddr);
        let skew = vaddr - start;
        let file_len = segment.filesz + skew;
        let end = vaddr.checked_add(segment.memsz).ok_or(Errno::ENOEXEC)?;
        let mut mapped_to = start;
        if segment.filesz > 0 {
            let object = Some((file.clone(), segment.offset.checked_sub(skew).ok_or(Errno::ENOEXEC)?));
            let place = Placement::Fixed(start);
            let flags = VmaFlags::empty();
            mm.map(
                &mut *cx.ctx,
                &MapRequest {
                    place,
                    len: file_len,
                    prot,
                    flags,
                    object,
                    populate: false,
                },
                &limits,
            )?;
            mapped_to = start + page_up(file_len).ok_or(Errno::ENOMEM)?;
        }
        let end = page_up(end).ok_or(Errno::ENOMEM)?;
        if end > mapped_to {
            let place = Placement::Fixed(mapped_to);
            let flags = VmaFlags::empty();
            let len = end - mapped_to;
            mm.map(
                &mut *cx.ctx,
                &MapRequest {
                    place,
                    len,
                    prot,
                    flags,
                    object: None,
                    populate: false,
                },
                &limits,
            )?;
        }
    }
    Ok(bias)
}

/// Zeroes from the end of the file's bytes to the end of their page, where `.bss` starts.
fn zero_tails(mm: &Mm, image: &Image, bias: u64) -> Result<()> {
    for segment in image.loads() {
        if segment.memsz <= segment.filesz || segment.filesz == 0 || !segment.prot().contains(Prot::WRITE) {
            continue;
        }
        let from = bias.wrapping_add(segment.vaddr).wrapping_add(segment.filesz);
        let len = usize::try_from(page_up(from).ok_or(Errno::ENOMEM)? - from).unwrap_or(0);
        let zeros = [0u8; 4096];
        let zeros = zeros.get(..len).unwrap_or_default();
        if mm.aspace().write(from, zeros) != zeros.len() {
            return Err(Errno::EFAULT);
        }
    }
    Ok(())
}
