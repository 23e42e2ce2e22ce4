//! The D-Bus connection to systemd.

use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use zbus::blocking::{Connection, MessageIterator, connection};
use zbus::message::Type;
use zbus::zvariant::{DynamicType, OwnedObjectPath, OwnedValue};
use zbus::{Error, MatchRule, Message, Result};

/// Longest wait for a job of systemd's.
const PATIENCE: Duration = Duration::from_secs(30);

const SYSTEMD: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";

/// The ordinary user who runs this, as the host counts; None: root.
pub fn user() -> Option<u32> {
    let own = rustix::process::geteuid().as_raw();
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    Some(outside(&map, own).unwrap_or(own)).filter(|uid| *uid != 0)
}

/// What a number of a user namespace is outside.
fn outside(map: &str, uid: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut numbers = line.split_whitespace().map(|n| n.parse::<u32>().ok());
        let (inner, outer, count) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let at = uid.checked_sub(inner).filter(|at| *at < count)?;
        outer.checked_add(at)
    })
}

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
        let builder = match self::user().filter(|_| user) {
            // In a user namespace this process has another number than the bus knows it by.
            Some(uid) => connection::Builder::session()?.user_id(uid),
            None if user => connection::Builder::session()?,
            None => connection::Builder::system()?,
        };
        builder.method_timeout(PATIENCE).build().map(Self)
    }

    pub fn call<B: serde::Serialize + DynamicType>(&self, method: &str, body: &B) -> Result<Message> {
        self.0.call_method(Some(SYSTEMD), PATH, Some(MANAGER), method, body)
    }

    /// What systemd says of itself.
    pub fn property(&self, name: &str) -> Result<OwnedValue> {
        let interface = Some("org.freedesktop.DBus.Properties");
        let reply = self
            .0
            .call_method(Some(SYSTEMD), PATH, interface, "Get", &(MANAGER, name))?;
        reply.body().deserialize()
    }

    /// systemd's, without what a distribution adds.
    pub fn version(&self) -> Result<u32> {
        let text: String = self.property("Version")?.try_into()?;
        let digits = text.trim_start_matches('v').split(|c: char| !c.is_ascii_digit()).next();
        let number = digits.and_then(|digits| digits.parse().ok());
        number.ok_or_else(|| Error::Failure(format!("version {text:?}")))
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

#[cfg(test)]
mod tests {
    use super::outside;

    #[test]
    fn maps_of_users() {
        let map = "         0       1000          1\n         1     100000      65536\n";
        assert_eq!(outside(map, 0), Some(1000));
        assert_eq!(outside(map, 5), Some(100_004));
        assert_eq!(outside(map, 70_000), None);
        assert_eq!(outside("0 0 4294967295\n", 7), Some(7));
    }
}
