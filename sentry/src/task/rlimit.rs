//! Resource limits (`getrlimit(2)`).

/// `RLIMIT_*`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "getrlimit(2) documents each name")]
pub enum Resource {
    Cpu = 0,
    Fsize = 1,
    Data = 2,
    Stack = 3,
    Core = 4,
    Rss = 5,
    Nproc = 6,
    Nofile = 7,
    Memlock = 8,
    As = 9,
    Locks = 10,
    Sigpending = 11,
    Msgqueue = 12,
    Nice = 13,
    Rtprio = 14,
    Rttime = 15,
}

impl Resource {
    /// All, in the order of their numbers.
    pub const ALL: [Resource; 16] = [
        Resource::Cpu,
        Resource::Fsize,
        Resource::Data,
        Resource::Stack,
        Resource::Core,
        Resource::Rss,
        Resource::Nproc,
        Resource::Nofile,
        Resource::Memlock,
        Resource::As,
        Resource::Locks,
        Resource::Sigpending,
        Resource::Msgqueue,
        Resource::Nice,
        Resource::Rtprio,
        Resource::Rttime,
    ];

    /// From the guest's number.
    pub fn new(n: u32) -> Option<Resource> {
        Resource::ALL.get(usize::try_from(n).ok()?).copied()
    }
}

/// `RLIM_INFINITY`
pub const INFINITY: u64 = u64::MAX;

/// `struct rlimit`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// In force.
    pub soft: u64,
    /// Most that the process may set.
    pub hard: u64,
}

/// Limits of a process.
#[derive(Clone, Debug)]
pub struct Rlimits {
    all: [Rlimit; 16],
}

impl Default for Rlimits {
    /// What Linux gives its first process, with `RLIMIT_NOFILE` 1024/1048576 as on usual systems.
    fn default() -> Self {
        let mut all = [Rlimit {
            soft: INFINITY,
            hard: INFINITY,
        }; 16];
        let mut set = |r: Resource, soft, hard| {
            if let Some(slot) = all.get_mut(r as usize) {
                *slot = Rlimit { soft, hard };
            }
        };
        set(Resource::Stack, 8 << 20, INFINITY);
        set(Resource::Core, 0, INFINITY);
        set(Resource::Nproc, 65536, 65536);
        set(Resource::Nofile, 1024, 1 << 20);
        set(Resource::Memlock, 8 << 20, 8 << 20);
        set(Resource::Sigpending, 65536, 65536);
        set(Resource::Msgqueue, 819_200, 819_200);
        set(Resource::Nice, 0, 0);
        set(Resource::Rtprio, 0, 0);
        Rlimits { all }
    }
}

impl Rlimits {
    /// One of them.
    pub fn get(&self, resource: Resource) -> Rlimit {
        self.all.get(resource as usize).copied().unwrap_or(Rlimit {
            soft: INFINITY,
            hard: INFINITY,
        })
    }

    /// Sets one of them.
    pub fn set(&mut self, resource: Resource, limit: Rlimit) {
        if let Some(slot) = self.all.get_mut(resource as usize) {
            *slot = limit;
        }
    }
}
