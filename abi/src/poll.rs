//! `poll(2)` and `epoll(7)`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `struct pollfd`
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PollFd {
    /// Ignored if negative.
    pub fd: i32,
    /// Asked for.
    pub events: u16,
    /// Given back.
    pub revents: u16,
}

/// `struct epoll_event`: packed on x86-64, hence the halves.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EpollEvent {
    /// `EPOLL*`
    pub events: u32,
    data: [u32; 2],
}

impl EpollEvent {
    /// With the user's data.
    pub const fn new(events: u32, data: u64) -> EpollEvent {
        EpollEvent {
            events,
            data: [crate::conv::low32(data), crate::conv::low32(data >> 32)],
        }
    }

    /// The user's data.
    pub fn data(&self) -> u64 {
        let [low, high] = self.data;
        u64::from(low) | (u64::from(high) << 32)
    }
}

/// `EPOLL_CTL_ADD`
pub const EPOLL_CTL_ADD: i32 = 1;
/// `EPOLL_CTL_DEL`
pub const EPOLL_CTL_DEL: i32 = 2;
/// `EPOLL_CTL_MOD`
pub const EPOLL_CTL_MOD: i32 = 3;
/// `EPOLLEXCLUSIVE`
pub const EPOLLEXCLUSIVE: u32 = 1 << 28;
/// `EPOLLWAKEUP`
pub const EPOLLWAKEUP: u32 = 1 << 29;
/// `EPOLLONESHOT`
pub const EPOLLONESHOT: u32 = 1 << 30;
/// `EPOLLET`
pub const EPOLLET: u32 = 1 << 31;
