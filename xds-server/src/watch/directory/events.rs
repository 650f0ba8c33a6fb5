//! What the operating system tells of changes, in the terms of [`super::documents`].

use std::path::{Path, PathBuf};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};

use super::documents::How;
use super::scan::is_hidden;

/// The link that a ConfigMap or Secret mount renames into place to change all its files at once.
const MOUNT_LINK: &str = "..data";

/// A path, relative to the root, to look at: at once if `how` is there, else when it has settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) path: PathBuf,
    pub(super) how: Option<How>,
}

/// The paths below `root` that an event concerns.
pub(super) fn touched(root: &Path, event: &notify::Event) -> Vec<Touched> {
    if event.need_rescan() {
        // Events were lost: look at everything, as if every file had just been closed.
        return vec![Touched { path: PathBuf::new(), how: Some(How::Closed) }];
    }
    let hows: &[Option<How>] = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => &[Some(How::Closed)],
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => &[Some(How::Whole)],
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => &[None, Some(How::Whole)],
        EventKind::Modify(ModifyKind::Name(_) | ModifyKind::Metadata(_)) => &[None],
        EventKind::Create(_) | EventKind::Remove(_) => &[None],
        // Where no close is told, a file is looked at when its writes have ended.
        EventKind::Modify(_) if cfg!(not(target_os = "linux")) => &[None],
        _ => &[],
    };
    let touch = |(path, how): (&PathBuf, &Option<How>)| {
        let path = path.strip_prefix(root).ok()?;
        if path.file_name().is_some_and(|name| name == MOUNT_LINK) {
            let mount = path.parent()?;
            return (!is_hidden(mount)).then(|| Touched { path: mount.to_owned(), how: *how });
        }
        (!is_hidden(path)).then(|| Touched { path: path.to_owned(), how: *how })
    };
    event.paths.iter().zip(hows).filter_map(touch).collect()
}
