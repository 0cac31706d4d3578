//! Passes on the kernel's requests. The kernel caches nothing, so a process reads what is on the disk now.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite,
    Request, TimeOrNow, WriteFlags,
};
use nix::libc;
use nix::unistd::{getegid, geteuid};
use weir_world::wall_clock_ms;

use super::contents::{Answer, Attributes};
use super::power::Switch;

/// For how long the kernel may cache an answer.
const NOT_AT_ALL: Duration = Duration::ZERO;
const BLOCK: u32 = 4_096;
/// The size that the disk reports, in blocks: there is always room.
const BLOCKS: u64 = 1 << 20;
const LONGEST_NAME: u32 = 255;

pub(super) struct FileSystem {
    switch: Arc<Switch>,
}

impl FileSystem {
    pub(super) fn new(switch: Arc<Switch>) -> Self {
        Self { switch }
    }

    fn make(&self, parent: INodeNo, name: &OsStr, mode: u32, directory: bool) -> Answer<Attributes> {
        self.switch.grow(|contents| {
            let node = contents.create(parent.0, name, mode & 0o7777, directory)?;
            contents.attributes(node)
        })
    }

    fn sync(&self, node: INodeNo, reply: ReplyEmpty) {
        done(self.switch.sync(node.0), reply);
    }

    fn count(&self, node: INodeNo, by: i64) -> Answer<()> {
        self.switch.look(|contents| contents.opened(node.0, by))
    }
}

fn errno(error: nix::errno::Errno) -> Errno {
    Errno::from_i32(error as i32)
}

fn done(answer: Answer<()>, reply: ReplyEmpty) {
    match answer {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(error)),
    }
}

fn entry(answer: Answer<Attributes>, reply: ReplyEntry) {
    match answer {
        Ok(attributes) => reply.entry(&NOT_AT_ALL, &file_attributes(attributes), Generation(0)),
        Err(error) => reply.error(errno(error)),
    }
}

fn file_attributes(attributes: Attributes) -> FileAttr {
    let Attributes { node, directory, length, mode } = attributes;
    // Programs use these times to see how old a file is. Every file looks new.
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(wall_clock_ms());
    FileAttr {
        ino: INodeNo(node),
        size: length,
        blocks: length.div_ceil(512),
        atime: now,
        mtime: now,
        ctime: now,
        crtime: now,
        kind: file_type(directory),
        perm: mode as u16,
        nlink: 1,
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    }
}

fn file_type(directory: bool) -> FileType {
    if directory { FileType::Directory } else { FileType::RegularFile }
}

impl Filesystem for FileSystem {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(self.switch.look(|contents| contents.attributes(contents.lookup(parent.0, name)?)), reply);
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.switch.look(|contents| contents.attributes(node.0)) {
            Ok(attributes) => reply.attr(&NOT_AT_ALL, &file_attributes(attributes)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        node: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut answer = Ok(());
        if let Some(mode) = mode {
            answer = self.switch.look(|contents| contents.set_mode(node.0, mode));
        }
        if let (Ok(()), Some(size)) = (answer, size) {
            answer = self.switch.change(|contents| contents.set_length(node.0, size));
        }
        match answer.and_then(|()| self.switch.look(|contents| contents.attributes(node.0))) {
            Ok(attributes) => reply.attr(&NOT_AT_ALL, &file_attributes(attributes)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        entry(self.make(parent, name, mode & !umask, true), reply);
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _: i32, reply: ReplyCreate) {
        let created = self.make(parent, name, mode & !umask, false);
        let created = created.and_then(|attributes| self.count(INodeNo(attributes.node), 1).map(|()| attributes));
        match created {
            Ok(attributes) => {
                let attributes = file_attributes(attributes);
                reply.created(&NOT_AT_ALL, &attributes, Generation(0), FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.switch.change(|contents| contents.remove(parent.0, name, false)), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.switch.change(|contents| contents.remove(parent.0, name, true)), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !(flags - RenameFlags::RENAME_NOREPLACE).is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let keep = flags.contains(RenameFlags::RENAME_NOREPLACE);
        done(self.switch.change(|contents| contents.rename((parent.0, name), (new_parent.0, new_name), keep)), reply);
    }

    fn open(&self, _: &Request, node: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.count(node, 1) {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn release(&self, _: &Request, node: INodeNo, _: FileHandle, _: OpenFlags, _: Option<LockOwner>, _: bool, reply: ReplyEmpty) {
        // After a power loss nothing is open, and the node may no longer exist.
        let _ = self.count(node, -1);
        reply.ok();
    }

    fn read(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.switch.look(|contents| contents.read(node.0, offset, size as usize).map(<[u8]>::to_vec)) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn write(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        bytes: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.switch.grow(|contents| {
            let end = contents.attributes(node.0)?.length;
            let offset = if flags.0 & libc::O_APPEND == 0 { offset } else { end };
            contents.write(node.0, offset, bytes)
        });
        match written {
            Ok(()) => reply.written(bytes.len() as u32),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Closing a file makes nothing durable. After this answer the kernel does not ask again, so a process that ends need not
        // wait.
        reply.error(Errno::ENOSYS);
    }

    fn fsync(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(node, reply);
    }

    fn fsyncdir(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(node, reply);
    }

    fn readdir(&self, _: &Request, node: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = match self.switch.look(|contents| contents.list(node.0)) {
            Ok(listed) => listed,
            Err(error) => return reply.error(errno(error)),
        };
        let dots = [(".".into(), node.0, true), ("..".into(), node.0, true)];
        let names = listed.into_iter().map(|(name, attributes)| (name, attributes.node, attributes.directory));
        for (number, (name, node, directory)) in (1..).zip(dots.into_iter().chain(names)).skip(offset as usize) {
            if reply.add(INodeNo(node), number, file_type(directory), name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCK, LONGEST_NAME, BLOCK);
    }
}
