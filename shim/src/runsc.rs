//! Calling `runsc`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use containerd_shim::{Error, Result};

use crate::children::{self, Starting};
use crate::options::Options;

/// `runsc` for the containers of one namespace of containerd.
#[derive(Clone)]
pub struct Runsc {
    options: Options,
    namespace: String,
    bundle: PathBuf,
}

/// One call: the command, and where it leaves its errors. Calls can run at the same time.
pub struct Call {
    pub command: Command,
    log: PathBuf,
}

impl Runsc {
    pub fn new(options: Options, namespace: &str, bundle: &Path) -> Self {
        Self {
            options,
            namespace: namespace.to_owned(),
            bundle: bundle.to_owned(),
        }
    }

    /// A call with these arguments and no standard streams.
    pub fn call(&self, args: &[&str]) -> Call {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let log = self.bundle.join(format!("log.{number}.json"));
        let mut command = Command::new(&self.options.binary);
        command
            .args(&self.options.flags)
            .arg("--root")
            .arg(self.options.root.join(&self.namespace))
            .arg("--log")
            .arg(&log)
            .args(["--log-format", "json"])
            .args(args)
            .current_dir(&self.bundle)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Call { command, log }
    }

    pub fn run(&self, args: &[&str]) -> Result<()> {
        self.call(args).finish(&[], &children::starting()).map(drop)
    }

    /// What it prints.
    pub fn output(&self, args: &[&str]) -> Result<Vec<u8>> {
        let mut call = self.call(args);
        call.command.stdout(Stdio::piped());
        call.finish(&[], &children::starting())
    }

    /// With something to read on its standard input.
    pub fn feed(&self, args: &[&str], input: &[u8]) -> Result<()> {
        let mut call = self.call(args);
        call.command.stdin(Stdio::piped());
        call.finish(input, &children::starting()).map(drop)
    }

    /// A call that lasts, whose output is read meanwhile.
    pub fn stream(&self, args: &[&str]) -> std::io::Result<Child> {
        let _guard = children::starting();
        let mut call = self.call(args);
        let child = call.command.stdout(Stdio::piped()).spawn()?;
        children::track(child.id().cast_signed());
        Ok(child)
    }
}

impl Call {
    /// Runs it to its end; gives what it printed.
    pub fn finish(mut self, input: &[u8], _alone: &Starting) -> Result<Vec<u8>> {
        let program = self.command.get_program().display().to_string();
        let failed = |e: std::io::Error| Error::Other(format!("{program}: {e}"));
        let _ = std::fs::remove_file(&self.log);
        let mut child = self.command.spawn().map_err(failed)?;
        // What the command still has of the streams, such as the fifos' ends, must not outlive it here.
        drop(self.command);
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output().map_err(failed)?;
        let error = last_error(&self.log);
        let _ = std::fs::remove_file(&self.log);
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(Error::Other(
            error.unwrap_or_else(|| format!("{program} failed: {}", output.status)),
        ))
    }
}

/// The last error in a log; the warnings go to containerd's log.
fn last_error(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let mut error = None;
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        let message = line["msg"].as_str().unwrap_or_default();
        match line["level"].as_str() {
            Some("error" | "fatal") => error = Some(message.to_owned()),
            Some("warning" | "warn") => containerd_shim::warn!("{message}"),
            _ => {}
        }
    }
    error
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_last_error() {
        let path = std::env::temp_dir().join(format!("shim-log-{}", std::process::id()));
        let lines = "{\"level\":\"error\",\"msg\":\"a\"}\nnot JSON\n{\"level\":\"error\",\"msg\":\"b\"}\n{\"level\":\"info\",\"msg\":\"c\"}\n";
        std::fs::write(&path, lines).unwrap();
        assert_eq!(super::last_error(&path).as_deref(), Some("b"));
        std::fs::write(&path, "").unwrap();
        assert_eq!(super::last_error(&path), None);
        std::fs::remove_file(&path).unwrap();
    }
}
