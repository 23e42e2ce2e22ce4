//! Telling containerd what happened. It may be away for a while: what it did not get is offered again, in order.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use containerd_shim::event::Event;
use containerd_shim::protos::protobuf::MessageDyn;
use containerd_shim::protos::ttrpc;
use containerd_shim::publisher::RemotePublisher;
use containerd_shim::{Context, Error, warn};

use crate::children::lock;

/// How often one that containerd does not like is offered.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);
/// What is kept for a containerd that stays away; the oldest goes first.
const KEPT: usize = 10_000;

struct Message {
    topic: String,
    event: Box<dyn MessageDyn>,
}

#[derive(Default)]
struct Queue {
    messages: Mutex<std::collections::VecDeque<Message>>,
    changed: Condvar,
}

/// Where events are handed in.
#[derive(Clone)]
pub struct Events(Arc<Queue>);

impl Events {
    /// `address` is containerd's ttrpc socket.
    pub fn new(address: String, namespace: String) -> Self {
        let queue = Arc::<Queue>::default();
        let events = Self(queue.clone());
        std::thread::spawn(move || publish(&address, &namespace, &queue));
        events
    }

    pub fn send(&self, event: impl Event + 'static) {
        let mut messages = lock(&self.0.messages);
        if messages.len() >= KEPT {
            // The first is being sent.
            messages.remove(1);
        }
        messages.push_back(Message {
            topic: event.topic(),
            event: Box::new(event),
        });
        self.0.changed.notify_all();
    }

    /// Waits until all are sent, but not longer than that.
    pub fn flush(&self, time: Duration) {
        let messages = lock(&self.0.messages);
        let _ = self
            .0
            .changed
            .wait_timeout_while(messages, time, |messages| !messages.is_empty());
    }
}

fn publish(address: &str, namespace: &str, queue: &Queue) {
    let mut publisher = None;
    loop {
        let (topic, event) = {
            let messages = lock(&queue.messages);
            let messages = queue.changed.wait_while(messages, |messages| messages.is_empty());
            let messages = messages.unwrap_or_else(PoisonError::into_inner);
            let Some(first) = messages.front() else { continue };
            (first.topic.clone(), first.event.clone_box())
        };
        let mut tries = 0;
        while let Err(e) = offer(&mut publisher, address, namespace, &topic, &*event) {
            publisher = None;
            // One that is away takes it later.
            tries += u32::from(matches!(e, Error::Ttrpc(ttrpc::Error::RpcStatus(_))));
            if tries == TRIES {
                warn!("containerd did not take {topic}: {e}");
                break;
            }
            std::thread::sleep(PAUSE);
        }
        let mut messages = lock(&queue.messages);
        messages.pop_front();
        if messages.is_empty() {
            // The next may come when this containerd is gone, and a connection does not say so before its time is up.
            publisher = None;
        }
        queue.changed.notify_all();
    }
}

fn offer(
    publisher: &mut Option<RemotePublisher>,
    address: &str,
    namespace: &str,
    topic: &str,
    event: &dyn MessageDyn,
) -> containerd_shim::Result<()> {
    let to = match publisher {
        Some(to) => to,
        none => none.insert(RemotePublisher::new(address)?),
    };
    let context = Context {
        timeout_nano: 5_000_000_000,
        ..Context::default()
    };
    to.publish(context, topic, namespace, event.clone_box())
}
