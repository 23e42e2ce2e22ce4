//! Robust futexes (`get_robust_list(2)`): locks that a dying thread holds are marked for the next owner.

use super::Cx;
use crate::ipc::futex::MATCH_ANY;
use crate::usermem::UserAddr;

const FUTEX_WAITERS: u32 = 0x8000_0000;
const FUTEX_OWNER_DIED: u32 = 0x4000_0000;
const FUTEX_TID_MASK: u32 = 0x3fff_ffff;
/// A list longer than this is broken or hostile.
const LIMIT: usize = 2048;

/// Walks the list as Linux does: entry, link, and the one operation that was under way.
pub(super) async fn release(cx: &mut Cx) {
    let head = std::mem::take(&mut cx.task.attr.lock().robust_list);
    if head == 0 || cx.local.gone {
        return;
    }
    let Ok([first, offset, pending]) = cx.read_obj::<[u64; 3]>(UserAddr(head)) else {
        return;
    };
    let mut entry = first;
    for _ in 0..LIMIT {
        if entry & !1 == head {
            break;
        }
        // The link is read before the lock is given away: its new owner may free the entry.
        let next = cx.read_obj::<u64>(UserAddr(entry & !1));
        if entry & !1 != pending & !1 && !release_one(cx, entry, offset, false).await {
            return;
        }
        let Ok(next) = next else { break };
        entry = next;
    }
    if pending != 0 {
        release_one(cx, pending, offset, true).await;
    }
}

async fn release_one(cx: &mut Cx, entry: u64, offset: u64, pending: bool) -> bool {
    let pi = entry & 1 != 0;
    let addr = (entry & !1).wrapping_add(offset);
    if addr & 3 != 0 {
        return false;
    }
    let me = cx.task.own_tid().unsigned_abs();
    loop {
        let Ok(word) = cx.read_obj::<u32>(UserAddr(addr)) else {
            return false;
        };
        if pending && !pi && word == 0 {
            futex_wake(cx, UserAddr(addr));
            return true;
        }
        if word & FUTEX_TID_MASK != me {
            return true;
        }
        let new = (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
        match cx.ctx.cmpxchg(addr, word, new).await {
            Err(_) => return false,
            Ok(was) if was != word => {}
            Ok(_) => {
                if !pi && word & FUTEX_WAITERS != 0 {
                    futex_wake(cx, UserAddr(addr));
                }
                return true;
            }
        }
    }
}

/// Wakes one waiter.
pub(super) fn futex_wake(cx: &mut Cx, addr: UserAddr) {
    for shared in [false, true] {
        let Ok(key) = cx.mm.futex_key(addr.0, shared) else {
            continue;
        };
        if cx.task.kernel.ipc.futexes.wake(&key, 1, MATCH_ANY) > 0 {
            break;
        }
    }
}
