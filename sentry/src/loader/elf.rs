//! Reading ELF headers of a hostile file, with the limits of Linux's `binfmt_elf.c`.

use abi::Errno;
use abi::elf::{self, Ehdr, Phdr};
use abi::errno::Result;
use platform::Prot;
use zerocopy::FromBytes;

use super::kernel_read;
use crate::fs::File;
use crate::mm::page_down;

/// A `PT_LOAD` segment, checked.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    pub vaddr: u64,
    pub offset: u64,
    pub filesz: u64,
    pub memsz: u64,
    flags: u32,
    align: u64,
}

impl Segment {
    pub fn prot(&self) -> Prot {
        let mut prot = Prot::empty();
        prot.set(Prot::READ, self.flags & elf::PF_R != 0);
        prot.set(Prot::WRITE, self.flags & elf::PF_W != 0);
        prot.set(Prot::EXEC, self.flags & elf::PF_X != 0);
        prot
    }
}

/// What the loader needs to know of a file.
#[derive(Clone, Debug)]
pub struct Image {
    /// Entry point, before the bias.
    pub entry: u64,
    /// `ET_DYN`
    pub position_independent: bool,
    /// `PT_INTERP`
    pub interpreter: Option<Vec<u8>>,
    /// `PT_GNU_STACK` asks for an executable stack, or there is none.
    pub exec_stack: bool,
    /// Number of program headers.
    pub phnum: u16,
    phoff: u64,
    loads: Vec<Segment>,
}

impl Image {
    /// Reads the headers; `head` are the first bytes of the file.
    pub fn read(file: &File, head: &[u8]) -> Result<Image> {
        let (ehdr, _) = Ehdr::read_from_prefix(head).map_err(|_| Errno::ENOEXEC)?;
        let class64_little = ehdr.ident.starts_with(b"\x7fELF\x02\x01");
        if !class64_little
            || ehdr.machine != elf::EM_X86_64
            || !matches!(ehdr.kind, elf::ET_EXEC | elf::ET_DYN)
            || usize::from(ehdr.phentsize) != size_of::<Phdr>()
            || ehdr.phnum == 0
        {
            return Err(Errno::ENOEXEC);
        }
        let size = usize::from(ehdr.phnum) * size_of::<Phdr>();
        if size > 65536 {
            return Err(Errno::ENOEXEC);
        }
        let table = kernel_read(file, ehdr.phoff, size)?;
        if table.len() != size {
            return Err(Errno::ENOEXEC);
        }
        let mut image = Image {
            entry: ehdr.entry,
            position_independent: ehdr.kind == elf::ET_DYN,
            interpreter: None,
            exec_stack: false,
            phnum: ehdr.phnum,
            phoff: ehdr.phoff,
            loads: Vec::new(),
        };
        for raw in table.chunks_exact(size_of::<Phdr>()) {
            let phdr = Phdr::read_from_bytes(raw).map_err(|_| Errno::ENOEXEC)?;
            match phdr.kind {
                elf::PT_LOAD => image.add_load(&phdr)?,
                elf::PT_INTERP if image.interpreter.is_none() => {
                    if !(2..=4096).contains(&phdr.filesz) {
                        return Err(Errno::ENOEXEC);
                    }
                    let len = usize::try_from(phdr.filesz).map_err(|_| Errno::ENOEXEC)?;
                    let mut path = kernel_read(file, phdr.offset, len)?;
                    if path.len() != len || path.pop() != Some(0) {
                        return Err(Errno::ENOEXEC);
                    }
                    path.truncate(path.iter().position(|&b| b == 0).unwrap_or(path.len()));
                    image.interpreter = Some(path);
                }
                elf::PT_GNU_STACK => image.exec_stack = phdr.flags & elf::PF_X != 0,
                _ => {}
            }
        }
        if image.loads.is_empty() {
            return Err(Errno::ENOEXEC);
        }
        Ok(image)
    }

    fn add_load(&mut self, phdr: &Phdr) -> Result<()> {
        const LIMIT: u64 = abi::regs::TASK_SIZE_MAX;
        let end = phdr.vaddr.checked_add(phdr.memsz).ok_or(Errno::ENOEXEC)?;
        let congruent = phdr.vaddr % 4096 == phdr.offset % 4096;
        if phdr.filesz > phdr.memsz || end > LIMIT || phdr.offset.checked_add(phdr.filesz).is_none() {
            return Err(Errno::ENOEXEC);
        }
        if phdr.memsz == 0 {
            return Ok(());
        }
        if phdr.filesz > 0 && !congruent {
            return Err(Errno::EINVAL);
        }
        // The bias is computed from the first segment, which has to be the lowest, as the ELF specification wants it.
        if self.loads.last().is_some_and(|before| phdr.vaddr < before.vaddr) {
            return Err(Errno::ENOEXEC);
        }
        self.loads.push(Segment {
            vaddr: phdr.vaddr,
            offset: phdr.offset,
            filesz: phdr.filesz,
            memsz: phdr.memsz,
            flags: phdr.flags,
            align: phdr.align,
        });
        Ok(())
    }

    /// Segments to map, in order of address.
    pub fn loads(&self) -> &[Segment] {
        &self.loads
    }

    /// First page of all segments.
    pub fn lowest(&self) -> u64 {
        self.loads.first().map_or(0, |s| page_down(s.vaddr))
    }

    /// Address behind the last segment.
    pub fn highest(&self) -> u64 {
        self.loads.iter().map(|s| s.vaddr + s.memsz).max().unwrap_or(0)
    }

    /// Alignment of the bias: the largest that a segment asks for, 2 MiB at most.
    pub fn align(&self) -> u64 {
        let wanted = self
            .loads
            .iter()
            .map(|s| s.align)
            .filter(|a| a.is_power_of_two())
            .max()
            .unwrap_or(4096);
        wanted.clamp(4096, 2 << 20)
    }

    /// Where the program headers stand in memory, before the bias.
    pub fn phdr_vaddr(&self) -> u64 {
        let holder = self
            .loads
            .iter()
            .find(|s| s.offset <= self.phoff && self.phoff < s.offset + s.filesz);
        holder.map_or(0, |s| s.vaddr + (self.phoff - s.offset))
    }

    /// First and last address of executable segments.
    pub fn code_range(&self) -> (u64, u64) {
        let code = || self.loads.iter().filter(|s| s.prot().contains(Prot::EXEC));
        let start = code().map(|s| s.vaddr).min().unwrap_or(0);
        (start, code().map(|s| s.vaddr + s.filesz).max().unwrap_or(0))
    }

    /// First and last address of the data that came from the file.
    pub fn data_range(&self) -> (u64, u64) {
        let start = self.loads.iter().map(|s| s.vaddr).max().unwrap_or(0);
        (start, self.loads.iter().map(|s| s.vaddr + s.filesz).max().unwrap_or(0))
    }
}
