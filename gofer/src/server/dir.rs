//! Reading directories, each entry with its attributes.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use abi::Errno;
use rustix::fs::{FileType, OFlags, RawDir, SeekFrom};
use zerocopy::IntoBytes;

use super::nodes::Handle;
use super::{Server, host, lock, lookup};
use crate::proto::message::{DirEntryHead, Readdir, ReaddirReply};
use crate::proto::transport::errno;
use crate::proto::wire::{self, Reader};
use crate::proto::{Attr, MAX_MESSAGE, attr};

/// A directory read half: open and positioned for the next page. Only a help: any page can be read without.
pub struct Stream {
    node: u64,
    cookie: u64,
    fd: OwnedFd,
}

const MAX_STREAMS: usize = 16;
/// About as many raw entries as fit one reply with their attributes.
const RAW_BUFFER: usize = 12 * 1024;

impl Server {
    pub fn readdir(&self, mut body: Reader<'_>, reply: &mut Vec<u8>) -> Result<(), Errno> {
        let request: Readdir = body.fixed()?;
        let child = body.rest();
        if child.is_empty() {
            let handle = self.handle(request.node)?;
            return self.read_page(&handle, request.cookie, 0, reply);
        }
        let parent = self.handle(request.node)?;
        let (handle, _) = self.child_handle(&parent, child)?;
        let read = self.read_page(&handle, request.cookie, handle.id, reply);
        if read.is_err() {
            self.table().forget(handle.id);
        }
        read
    }

    fn read_page(&self, handle: &Handle, cookie: u64, node: u64, reply: &mut Vec<u8>) -> Result<(), Errno> {
        lookup::must_be_dir(handle)?;
        if i64::try_from(cookie).is_err() {
            return Err(Errno::EINVAL);
        }
        let fd = self.stream(handle, cookie)?;
        let head = reply.len();
        let mut result = ReaddirReply {
            node,
            attr: host::stat(fd.as_fd(), b"")?,
            count: 0,
            eof: 0,
        };
        wire::put(reply, &result);
        let at = fill(&fd, cookie, &mut result, reply)?;
        if let Some(front) = reply.get_mut(head..head + size_of::<ReaddirReply>()) {
            front.copy_from_slice(result.as_bytes());
        }
        if result.eof == 0 {
            // What the raw buffer still held is read again from here.
            rustix::fs::seek(&fd, SeekFrom::Start(at)).map_err(errno)?;
            let mut streams = lock(&self.streams);
            if streams.len() >= MAX_STREAMS {
                streams.remove(0);
            }
            streams.push(Stream {
                node: handle.id,
                cookie: at,
                fd,
            });
        }
        Ok(())
    }

    /// An open directory at that position.
    fn stream(&self, handle: &Handle, cookie: u64) -> Result<OwnedFd, Errno> {
        if cookie != 0 {
            let mut streams = lock(&self.streams);
            if let Some(i) = streams.iter().position(|s| s.node == handle.id && s.cookie == cookie) {
                return Ok(streams.swap_remove(i).fd);
            }
        }
        let fd = self.fd_paths.reopen(&handle.fd, OFlags::RDONLY | OFlags::DIRECTORY)?;
        if cookie != 0 {
            rustix::fs::seek(&fd, SeekFrom::Start(cookie)).map_err(errno)?;
        }
        Ok(fd)
    }
}

/// Appends entries until the directory or the message ends; tells where it stopped.
fn fill(fd: &OwnedFd, cookie: u64, result: &mut ReaddirReply, reply: &mut Vec<u8>) -> Result<u64, Errno> {
    let mut raw = [const { MaybeUninit::uninit() }; RAW_BUFFER];
    let mut entries = RawDir::new(fd, &mut raw);
    let mut at = cookie;
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(errno)?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            at = entry.next_entry_cookie();
            continue;
        }
        let attr = match host::stat(fd.as_fd(), name) {
            Ok(attr) => attr,
            // Gone since the directory was read.
            Err(Errno::ENOENT) => {
                at = entry.next_entry_cookie();
                continue;
            }
            // It exists, but its attributes are not to be had: the caller will ask again, and hear why. No mask, no trust.
            Err(_) => Attr {
                ino: entry.ino(),
                mode: type_bits(entry.file_type()),
                ..Attr::default()
            },
        };
        let link = if attr.is_symlink() {
            link_target(fd, name)
        } else {
            Vec::new()
        };
        let size = size_of::<DirEntryHead>() + name.len() + link.len();
        if reply.len() + size > MAX_MESSAGE {
            return Ok(at);
        }
        at = entry.next_entry_cookie();
        let (Ok(name_len), Ok(link_len)) = (u32::try_from(name.len()), u32::try_from(link.len())) else {
            continue;
        };
        wire::put(
            reply,
            &DirEntryHead {
                attr,
                cookie: at,
                name_len,
                link_len,
            },
        );
        reply.extend_from_slice(name);
        reply.extend_from_slice(&link);
        result.count += 1;
    }
    result.eof = 1;
    Ok(at)
}

fn link_target(dir: &OwnedFd, name: &[u8]) -> Vec<u8> {
    let target: io::Result<_> = rustix::fs::readlinkat(dir, name, Vec::with_capacity(128)).map_err(Into::into);
    target.map(|t| t.into_bytes()).unwrap_or_default()
}

fn type_bits(kind: FileType) -> u32 {
    match kind {
        FileType::RegularFile => attr::S_IFREG,
        FileType::Directory => attr::S_IFDIR,
        FileType::Symlink => attr::S_IFLNK,
        FileType::Fifo => attr::S_IFIFO,
        FileType::Socket => attr::S_IFSOCK,
        FileType::CharacterDevice => attr::S_IFCHR,
        FileType::BlockDevice => attr::S_IFBLK,
        FileType::Unknown => 0,
    }
}
