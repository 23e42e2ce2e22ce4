//! The D-Bus connection to systemd.

use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use zbus::blocking::{Connection, MessageIterator, connection};
use zbus::message::Type;
use zbus::zvariant::{DynamicType, OwnedObjectPath};
use zbus::{Error, MatchRule, Message, Result};

/// Longest wait for a job of systemd's.
const PATIENCE: Duration = Duration::from_secs(30);

const SYSTEMD: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";

/// A connection.
pub struct Bus(Connection);

/// One on which systemd tells how jobs end.
pub struct Jobs {
    pub bus: Bus,
    ends: Receiver<(OwnedObjectPath, String)>,
}

impl Bus {
    /// `user`: to the systemd of an ordinary user.
    pub fn new(user: bool) -> Result<Self> {
        let builder = if user {
            connection::Builder::session()
        } else {
            connection::Builder::system()
        };
        builder?.method_timeout(PATIENCE).build().map(Self)
    }

    pub fn call<B: serde::Serialize + DynamicType>(&self, method: &str, body: &B) -> Result<Message> {
        self.0.call_method(Some(SYSTEMD), PATH, Some(MANAGER), method, body)
    }
}

impl Jobs {
    pub fn new(user: bool) -> Result<Self> {
        let bus = Bus::new(user)?;
        // systemd tells of jobs only while somebody wants to hear of them.
        bus.call("Subscribe", &())?;
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .interface(MANAGER)?
            .member("JobRemoved")?
            .build();
        let messages = MessageIterator::for_match_rule(rule, &bus.0, None)?;
        let (send, ends) = mpsc::channel();
        // Nothing else bounds the wait for a message. It ends with the connection.
        std::thread::spawn(move || {
            messages
                .flatten()
                .filter_map(|m| removed(&m))
                .try_for_each(|end| send.send(end))
        });
        Ok(Self { bus, ends })
    }

    /// Asks for a job and waits for its end.
    pub fn run<B: serde::Serialize + DynamicType>(&self, method: &str, body: &B) -> Result<()> {
        let failed = |what: String| Error::Failure(format!("{method}: {what}"));
        let job: OwnedObjectPath = self.bus.call(method, body)?.body().deserialize()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let end = self.ends.recv_timeout(left);
            let (removed, result) = end.map_err(|_| failed("no answer".to_owned()))?;
            match result.as_str() {
                _ if removed != job => {}
                "done" => return Ok(()),
                other => return Err(failed(format!("the job ended as {other:?}"))),
            }
        }
    }
}

/// The job that ended, and how.
fn removed(message: &Message) -> Option<(OwnedObjectPath, String)> {
    let (_, job, _, result): (u32, OwnedObjectPath, String, String) = message.body().deserialize().ok()?;
    Some((job, result))
}
