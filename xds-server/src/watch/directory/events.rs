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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use notify::Event;
    use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RemoveKind, RenameMode};

    use super::super::documents::How;
    use super::touched;

    fn of(kind: EventKind, paths: &[&str]) -> Vec<(String, Option<How>)> {
        let event = paths.iter().fold(Event::new(kind), |event, path| event.add_path(Path::new("/root").join(path)));
        let touched = touched(Path::new("/root"), &event);
        touched.into_iter().map(|touched| (touched.path.display().to_string(), touched.how)).collect()
    }

    #[test]
    fn what_is_whole_applies_at_once_and_the_rest_settles() {
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        let rename = |mode| EventKind::Modify(ModifyKind::Name(mode));
        assert_eq!(of(closed, &["a.yaml"]), [("a.yaml".into(), Some(How::Closed))]);
        assert_eq!(of(rename(RenameMode::To), &["a.yaml"]), [("a.yaml".into(), Some(How::Whole))]);
        assert_eq!(of(rename(RenameMode::From), &["a.yaml"]), [("a.yaml".into(), None)]);
        let both = [("a.yaml".into(), None), ("b.yaml".into(), Some(How::Whole))];
        assert_eq!(of(rename(RenameMode::Both), &["a.yaml", "b.yaml"]), both);
        for kind in [EventKind::Create(CreateKind::File), EventKind::Remove(RemoveKind::File)] {
            assert_eq!(of(kind, &["a.yaml"]), [("a.yaml".into(), None)]);
        }
        assert_eq!(of(EventKind::Access(AccessKind::Open(AccessMode::Any)), &["a.yaml"]), []);
    }

    #[test]
    fn hidden_paths_are_nothing_but_the_link_of_a_mount_is_all_of_it() {
        let to = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        assert_eq!(of(to, &[".git/a.yaml"]), []);
        assert_eq!(of(to, &[".a.yaml.swp"]), []);
        assert_eq!(of(to, &["mount/..data"]), [("mount".into(), Some(How::Whole))]);
        assert_eq!(of(to, &["..data"]), [(String::new(), Some(How::Whole))]);
    }
}
