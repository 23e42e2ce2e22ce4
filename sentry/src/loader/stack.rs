//! The first stack of a program: argument and environment strings, auxiliary vector (System V ABI, x86-64, figure 3.9).

use abi::Errno;
use abi::conv::usize64;
use abi::elf::at;
use abi::errno::Result;

use super::Prepared;
use crate::cred::Cred;

pub struct Build<'a> {
    pub program: &'a Prepared,
    pub cred: &'a Cred,
    pub phdr: u64,
    pub entry: u64,
    pub interpreter_base: u64,
    pub vdso: Option<platform::Vdso>,
    pub minsigstksz: usize,
}

pub struct Built {
    /// Where `bytes` go: the new stack pointer.
    pub sp: u64,
    pub bytes: Vec<u8>,
    pub args: (u64, u64),
    pub env: (u64, u64),
    pub auxv: Vec<u8>,
}

impl Build<'_> {
    /// Lays out everything that ends at `top`.
    pub fn build(&self, top: u64) -> Result<Built> {
        // Strings first, in their final order, with offsets from their start.
        let mut strings: Vec<u8> = Vec::new();
        let mut place = |s: &[u8]| {
            let at = usize64(strings.len());
            strings.extend_from_slice(s);
            strings.push(0);
            at
        };
        let argv: Vec<u64> = self.program.argv.iter().map(|s| place(s)).collect();
        let args_end = argv
            .last()
            .zip(self.program.argv.last())
            .map_or(0, |(at, s)| at + usize64(s.len()) + 1);
        let envp: Vec<u64> = self.program.envp.iter().map(|s| place(s)).collect();
        let env_end = envp
            .last()
            .zip(self.program.envp.last())
            .map_or(args_end, |(at, s)| at + usize64(s.len()) + 1);
        let execfn = place(&self.program.filename);
        let platform = place(b"x86_64");
        let mut random = [0u8; 16];
        let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        let random_at = usize64(strings.len());
        strings.extend_from_slice(&random);

        // Eight bytes of zero stand at the very top, as Linux leaves them.
        let base = top.checked_sub(8 + usize64(strings.len())).ok_or(Errno::E2BIG)? & !15;
        let auxv = self.auxv(base + execfn, base + platform, base + random_at);
        let words = 1 + argv.len() + 1 + envp.len() + 1;
        let table = words * 8 + auxv.len();
        let sp = base.checked_sub(usize64(table)).ok_or(Errno::E2BIG)? & !15;

        let mut bytes = Vec::with_capacity(usize::try_from(top - sp).unwrap_or(0));
        bytes.extend_from_slice(&usize64(argv.len()).to_le_bytes());
        for list in [&argv, &envp] {
            for at in list {
                bytes.extend_from_slice(&(base + at).to_le_bytes());
            }
            bytes.extend_from_slice(&[0; 8]);
        }
        bytes.extend_from_slice(&auxv);
        bytes.resize(usize::try_from(base - sp).map_err(|_| Errno::E2BIG)?, 0);
        bytes.extend_from_slice(&strings);
        bytes.resize(usize::try_from(top - sp).map_err(|_| Errno::E2BIG)?, 0);
        Ok(Built {
            sp,
            bytes,
            args: (base, base + args_end),
            env: (base + args_end, base + env_end),
            auxv,
        })
    }

    fn auxv(&self, execfn: u64, platform: u64, random: u64) -> Vec<u8> {
        let (hwcap, hwcap2) = rustix::param::linux_hwcap();
        let ns = &self.cred.user_ns;
        let secure = self.cred.uid != self.cred.euid || self.cred.gid != self.cred.egid;
        let mut pairs: Vec<(u64, u64)> = Vec::new();
        if let Some(vdso) = self.vdso {
            pairs.push((at::SYSINFO_EHDR, vdso.base));
        }
        pairs.extend([
            (at::MINSIGSTKSZ, usize64(self.minsigstksz)),
            (at::HWCAP, usize64(hwcap)),
            (at::PAGESZ, 4096),
            (at::CLKTCK, 100),
            (at::PHDR, self.phdr),
            (at::PHENT, 56),
            (at::PHNUM, u64::from(self.program.image.phnum)),
            (at::BASE, self.interpreter_base),
            (at::FLAGS, 0),
            (at::ENTRY, self.entry),
            (at::UID, u64::from(ns.uid_out(self.cred.uid))),
            (at::EUID, u64::from(ns.uid_out(self.cred.euid))),
            (at::GID, u64::from(ns.gid_out(self.cred.gid))),
            (at::EGID, u64::from(ns.gid_out(self.cred.egid))),
            (at::SECURE, u64::from(secure)),
            (at::RANDOM, random),
            (at::HWCAP2, usize64(hwcap2)),
            (at::EXECFN, execfn),
            (at::PLATFORM, platform),
            (at::NULL, 0),
        ]);
        pairs
            .iter()
            .flat_map(|(k, v)| [k.to_le_bytes(), v.to_le_bytes()])
            .flatten()
            .collect()
    }
}
