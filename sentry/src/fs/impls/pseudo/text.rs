//! Files whose text is made when read from the start, as `seq_file` does it.

use std::any::Any;
use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::node::{Attr, set_attr};
use crate::cred::Cred;
use crate::fs::{File, FileOps, Inode, InodeOps, OpenHow, SeekFrom, SetAttr, Sink, Source, Stat, WriteAt};
use crate::sync::Mutex;
use crate::task::{Task, current};

/// Longest text that a write takes at once.
const WRITE_MAX: usize = 1 << 20;

/// A file's contents.
pub trait Text: Send + Sync + 'static {
    /// The text as of now.
    fn read(&self) -> Result<Vec<u8>>;

    /// Takes what one `write(2)` brought. The default refuses (`EIO`, as for a `seq_file` without write).
    fn write(&self, data: &[u8], pos: u64) -> Result<usize> {
        let _ = (data, pos);
        Err(Errno::EIO)
    }

    /// Likewise, where it matters who opened the file; none if the kernel did.
    fn write_as(&self, opener: Option<&Cred>, data: &[u8], pos: u64) -> Result<usize> {
        let _ = opener;
        self.write(data, pos)
    }

    /// Attributes, where they change.
    fn attr(&self) -> Option<Attr> {
        None
    }

    /// Other attributes. The default refuses.
    fn set_attr(&self, attr: &SetAttr) -> Result<()> {
        set_attr(attr)
    }

    /// Access beyond the mode bits.
    fn permission(&self, task: &Arc<Task>, want: u32) -> Option<Result<()>> {
        let _ = (task, want);
        None
    }

    /// What a write changes is not this file's own but the kernel's: every instance shows it.
    fn is_shared(&self) -> bool {
        false
    }

    /// Called when the file is opened: may refuse.
    fn open(&self) -> Result<()> {
        Ok(())
    }
}

impl<F: Fn() -> Result<Vec<u8>> + Send + Sync + 'static> Text for F {
    fn read(&self) -> Result<Vec<u8>> {
        self()
    }
}

/// The inode of such a file.
pub struct TextNode {
    attr: Attr,
    text: Arc<dyn Text>,
}

impl TextNode {
    /// With these attributes, unless the text says otherwise.
    pub fn new(attr: Attr, text: impl Text) -> Box<TextNode> {
        Box::new(TextNode {
            attr,
            text: Arc::new(text),
        })
    }
}

impl InodeOps for TextNode {
    fn stat(&self, inode: &Inode) -> Result<Stat> {
        Ok(self.text.attr().unwrap_or(self.attr).stat(inode, 1, 0))
    }

    fn set_attr(&self, _inode: &Inode, attr: &SetAttr) -> Result<()> {
        self.text.set_attr(attr)
    }

    fn permission(&self, _inode: &Inode, task: &Arc<Task>, want: u32) -> Option<Result<()>> {
        self.text.permission(task, want)
    }

    fn open(&self, _inode: &Arc<Inode>, _how: &OpenHow) -> Result<Arc<dyn FileOps>> {
        self.text.open()?;
        Ok(Arc::new(TextFile {
            text: self.text.clone(),
            opener: current().map(|task| task.cred()),
            made: Mutex::new(None),
        }))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// True if writes of this file change the kernel.
pub fn is_shared_text(inode: &Inode) -> bool {
    inode
        .ops
        .as_any()
        .downcast_ref::<TextNode>()
        .is_some_and(|node| node.text.is_shared())
}

/// Writes a text as `write(2)` would, if its mode lets its owner.
pub fn write_text(inode: &Inode, data: &[u8]) -> Result<()> {
    let node = inode.ops.as_any().downcast_ref::<TextNode>().ok_or(Errno::EACCES)?;
    let text = &node.text;
    let attr = text.attr().unwrap_or(node.attr);
    if text.read().is_ok_and(|now| now.trim_ascii() == data.trim_ascii()) {
        return Ok(());
    }
    if attr.mode & 0o200 == 0 {
        return Err(Errno::EACCES);
    }
    text.write_as(None, data, 0).map(drop)
}

/// An open one.
pub struct TextFile {
    text: Arc<dyn Text>,
    opener: Option<Arc<Cred>>,
    /// As of the last read from the start.
    made: Mutex<Option<Arc<Vec<u8>>>>,
}

impl FileOps for TextFile {
    fn read(&self, _file: &File, dst: &mut dyn Sink, pos: u64) -> Result<usize> {
        let known = self.made.lock().clone().filter(|_| pos > 0);
        let text = match known {
            Some(text) => text,
            None => {
                // Made without the lock: it may take locks of tasks and memory maps.
                let text = Arc::new(self.text.read()?);
                *self.made.lock() = Some(text.clone());
                text
            }
        };
        let from = usize::try_from(pos).unwrap_or(usize::MAX).min(text.len());
        dst.put(
            text.get(from..)
                .unwrap_or_default()
                .get(..dst.remaining().min(text.len() - from))
                .unwrap_or_default(),
        )
    }

    fn write(&self, _file: &File, src: &mut dyn Source, at: &mut WriteAt) -> Result<usize> {
        let mut data = vec![0u8; src.remaining().min(WRITE_MAX)];
        let got = src.take(&mut data)?;
        data.truncate(got);
        let n = self.text.write_as(self.opener.as_deref(), &data, at.pos)?;
        src.put_back(got.saturating_sub(n));
        at.end = at.pos.saturating_add(abi::conv::usize64(n));
        Ok(n)
    }

    fn seek(&self, _file: &File, to: SeekFrom, pos: u64) -> Result<u64> {
        to.in_sequence(pos)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Without white space at the ends.
pub fn trim(data: &[u8]) -> &[u8] {
    let data = data.split(|&b| b == 0).next().unwrap_or_default();
    data.trim_ascii()
}

/// A whole number as text, decimal, `0x` or `0` octal (`kstrtol` with base 0). `EINVAL` otherwise.
pub fn parse_number(data: &[u8]) -> Result<i64> {
    let text = std::str::from_utf8(trim(data)).map_err(|_| Errno::EINVAL)?;
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = if let Some(hex) = digits.strip_prefix("0x") {
        i64::from_str_radix(hex, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        i64::from_str_radix(digits, 8)
    } else {
        digits.parse()
    };
    value.map(|v: i64| v.saturating_mul(sign)).map_err(|_| Errno::EINVAL)
}
