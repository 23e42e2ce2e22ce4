//! Telling containerd what happened. It may be restarted at any time: what it does not take is offered again, in order.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use containerd_shim::event::Event;
use containerd_shim::protos::protobuf::MessageDyn;
use containerd_shim::publisher::RemotePublisher;
use containerd_shim::{Context, warn};

const TRIES: u32 = 120;
const PAUSE: Duration = Duration::from_millis(500);

struct Message {
    topic: String,
    event: Box<dyn MessageDyn>,
}

/// Where events are handed in.
#[derive(Clone)]
pub struct Events {
    queue: Sender<Message>,
}

impl Events {
    /// `address` is containerd's ttrpc socket.
    pub fn new(address: String, namespace: String) -> Self {
        let (queue, messages) = channel();
        std::thread::spawn(move || publish(&address, &namespace, &messages));
        Self { queue }
    }

    pub fn send(&self, event: impl Event + 'static) {
        let topic = event.topic();
        let _ = self.queue.send(Message {
            topic,
            event: Box::new(event),
        });
    }
}

fn publish(address: &str, namespace: &str, messages: &Receiver<Message>) {
    let mut publisher = None;
    for message in messages {
        for _ in 0..TRIES {
            if publisher.is_none() {
                publisher = RemotePublisher::new(address).ok();
            }
            let sent = publisher.as_ref().is_some_and(|to: &RemotePublisher| {
                let context = Context {
                    timeout_nano: 5_000_000_000,
                    ..Context::default()
                };
                let event = message.event.clone_box();
                to.publish(context, &message.topic, namespace, event).is_ok()
            });
            if sent {
                break;
            }
            publisher = None;
            warn!("containerd did not take {}", message.topic);
            std::thread::sleep(PAUSE);
        }
    }
}
