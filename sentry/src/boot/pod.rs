//! The containers of a sandbox: the one that it was started with, and those of a pod that join later.

use std::sync::Arc;

use super::container::Container;
use super::control::{Reply, Request};
use crate::sync::Mutex;

/// All containers.
pub struct Pod {
    first: Arc<Container>,
    joined: Mutex<Vec<Arc<Container>>>,
    /// Connections of those that run or will, where the first is there for them only: without any it ends.
    guests: Option<Mutex<Guests>>,
}

#[derive(Default)]
struct Guests {
    count: usize,
    over: bool,
}

/// One that has joined or will.
pub(super) struct Guest(Arc<Pod>);

impl Drop for Guest {
    fn drop(&mut self) {
        let Some(guests) = &self.0.guests else { return };
        let mut guests = guests.lock();
        guests.count = guests.count.saturating_sub(1);
        if guests.count == 0 {
            guests.over = true;
            drop(guests);
            self.0.first.kill();
        }
    }
}

impl Pod {
    /// A sandbox with one container; `bare`: it is there for those that join only.
    pub fn new(first: Arc<Container>, bare: bool) -> Arc<Pod> {
        Arc::new(Pod {
            first,
            joined: Mutex::default(),
            guests: bare.then(Mutex::default),
        })
    }

    /// Announces one that joins; none when the pod is ending.
    pub(super) fn expect(self: &Arc<Self>) -> Option<Guest> {
        if let Some(guests) = &self.guests {
            let mut guests = guests.lock();
            if guests.over {
                return None;
            }
            guests.count = guests.count.saturating_add(1);
        }
        Some(Guest(self.clone()))
    }

    /// The container that the sandbox was started with, and lives as long as.
    pub fn first(&self) -> &Arc<Container> {
        &self.first
    }

    /// The container of that id.
    pub fn find(&self, id: &str) -> Option<Arc<Container>> {
        if self.first.is(id) {
            return Some(self.first.clone());
        }
        self.joined.lock().iter().find(|c| c.is(id)).cloned()
    }

    /// Adds one; false if the id is taken.
    pub(super) fn add(&self, container: &Arc<Container>) -> bool {
        let mut joined = self.joined.lock();
        if self.first.is(container.id()) || joined.iter().any(|c| c.is(container.id())) {
            return false;
        }
        joined.push(container.clone());
        true
    }

    /// Forgets one that has ended.
    pub(super) fn remove(&self, container: &Arc<Container>) {
        self.joined.lock().retain(|c| !Arc::ptr_eq(c, container));
    }

    /// Serves a request that needs no connection of its own.
    pub(super) async fn answer(&self, request: Request) -> Reply {
        let id = match &request {
            Request::Signal { container, .. }
            | Request::Exec { container, .. }
            | Request::Wait { container, .. }
            | Request::Processes { container }
            | Request::Resize { container }
            | Request::Pause { container }
            | Request::Resume { container }
            | Request::Start { container }
            | Request::Leave { container }
            | Request::Update { container, .. } => container,
            Request::Join { .. } | Request::Expect | Request::Placed | Request::Tell { .. } | Request::Resized => {
                return Reply::failed("not on this connection");
            }
        };
        match (self.find(id), &request) {
            (Some(container), Request::Leave { .. }) if !Arc::ptr_eq(&container, &self.first) => {
                self.leave(&container).await
            }
            (Some(container), _) => container.answer(request).await,
            (None, Request::Leave { .. }) => Reply::Done,
            (None, _) => Reply::failed(format!("container not running: {id:?} is not in this sandbox")),
        }
    }

    /// Ends a container; it is forgotten by whoever stands for it.
    async fn leave(&self, container: &Arc<Container>) -> Reply {
        container.kill();
        container.gone().await;
        self.remove(container);
        Reply::Done
    }
}
