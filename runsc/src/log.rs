//! `--log`: the file from which engines take a failure's message, and `--debug-log`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use crate::cli::{Globals, LogFormat};
use crate::config::Notes;
use crate::error::{Context, Result};

/// Where messages go.
pub struct Log {
    file: Option<File>,
    format: LogFormat,
    debug: bool,
}

impl Log {
    /// Opens the log file, if one was named.
    pub fn open(globals: &Globals) -> Result<Self> {
        let file = match &globals.log {
            Some(path) => Some(append(path)?),
            None => None,
        };
        Ok(Self {
            file,
            format: globals.log_format,
            debug: globals.debug,
        })
    }

    /// A failure: to the log, and to standard error for people.
    pub fn error(&self, message: &str) {
        eprintln!("runsc: error: {message}");
        self.write("error", message);
    }

    /// Something that the user asked for and did not get, or would not expect: told even where there is no log.
    pub fn tell(&self, message: &str) {
        if self.file.is_none() {
            eprintln!("runsc: warning: {message}");
        }
        self.write("warning", message);
    }

    /// What there is to say of a configuration.
    pub fn notes(&self, notes: &Notes) {
        notes.left_out.iter().for_each(|note| self.tell(note));
        notes.remarks.iter().for_each(|note| self.warn(note));
    }

    /// Something that may interest the user, although the command goes on.
    pub fn warn(&self, message: &str) {
        if self.file.is_some() {
            self.write("warning", message);
        } else if self.debug {
            eprintln!("runsc: warning: {message}");
        }
    }

    fn write(&self, level: &str, message: &str) {
        let Some(mut file) = self.file.as_ref() else { return };
        let time = rfc3339_now();
        let line = match self.format {
            LogFormat::Json => serde_json::json!({ "level": level, "msg": message, "time": time }).to_string(),
            LogFormat::Text => {
                format!("time={time:?} level={level} msg={}", serde_json::Value::from(message))
            }
        };
        // A log that cannot be written must not hide the failure itself, which is on standard error.
        let _ = file.write_all(format!("{line}\n").as_bytes());
    }
}

/// Opens a log for appending.
pub fn append(path: &std::path::Path) -> Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o644)
        .open(path)
        .context(|| format!("log file {}", path.display()))
}

/// The present time as engines read it, in UTC.
pub fn rfc3339_now() -> String {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    rfc3339(now.tv_sec, now.tv_nsec)
}

fn rfc3339(secs: i64, nanos: i64) -> String {
    let (days, rest) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
    // Howard Hinnant's civil-from-days: years begin in March, so that the leap day is the last.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn dates() {
        assert_eq!(rfc3339(0, 0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc3339(951_827_696, 5), "2000-02-29T12:34:56.000000005Z");
        assert_eq!(rfc3339(1_795_244_803, 0), "2026-11-21T07:06:43.000000000Z");
    }
}
