//! Folders on a real file system.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use super::*;

fn folder(base: &Path, path: &str) -> SwitchedFolder {
    SwitchedFolder::new(base, path.split('/')).unwrap()
}

fn file<'c>(name: &'c str, content: &'c str, mode: u32) -> FolderFile<'c> {
    FolderFile { name, content: content.as_bytes(), mode }
}

fn write(folder: &SwitchedFolder, files: &[(&str, &str)]) -> io::Result<()> {
    let files: Vec<FolderFile<'_>> = files.iter().map(|(name, content)| file(name, content, 0o644)).collect();
    folder.write(&files, Ownership::default())
}

fn names(path: &Path) -> BTreeSet<String> {
    fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn files_change_together_and_what_is_no_more_goes() {
    let dir = tempfile::tempdir().unwrap();
    let web = folder(dir.path(), "team/web");
    write(&web, &[("bundle.pem", "b1"), ("old.pem", "o1"), ("svid.pem", "s1")]).unwrap();
    let path = dir.path().join("team/web");
    let before = fs::metadata(&path).unwrap();
    write(&web, &[("bundle.pem", "b2"), ("svid.pem", "s2"), ("new.pem", "n2")]).unwrap();
    let read = |name: &str| fs::read_to_string(path.join(name)).unwrap();
    assert_eq!((read("bundle.pem"), read("svid.pem"), read("new.pem")), ("b2".into(), "s2".into(), "n2".into()));
    let data = fs::read_link(path.join("..data")).unwrap().into_os_string().into_string().unwrap();
    let expected = ["..data", data.as_str(), "bundle.pem", "new.pem", "svid.pem"].map(str::to_owned);
    assert_eq!(names(&path), expected.into());
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!(before.ino(), fs::metadata(&path).unwrap().ino(), "whoever mounted the folder sees the new files");
}

#[test]
fn modes_and_owners_are_as_asked_whatever_the_umask() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let web = folder(dir.path(), "web");
    let own = fs::metadata(dir.path()).unwrap();
    let files = [file("key", "k", 0o600), file("cert", "c", 0o644)];
    web.write(&files, Ownership { user: Some(own.uid()), group: Some(own.gid()) }).unwrap();
    let mode = |name: &str| fs::metadata(web.path().join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("key"), mode("cert"), mode(".")), (0o600, 0o644, 0o755));
}

#[test]
fn nobody_is_led_elsewhere_by_a_link() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    symlink(elsewhere.path(), dir.path().join("web")).unwrap();
    let error = write(&folder(dir.path(), "web"), &[("svid.pem", "s")]).unwrap_err();
    assert!(error.to_string().ends_with("it is no folder, or leads through a symbolic link"), "{error}");
    assert!(write(&folder(dir.path(), "web/deeper"), &[("svid.pem", "s")]).is_err());
    folder(dir.path(), "web").remove().unwrap_err();
    assert_eq!(SwitchedFolder::all_below(dir.path(), 8, 100).unwrap(), []);
    // A link in the place of a file is not written through.
    fs::create_dir(dir.path().join("app")).unwrap();
    symlink(elsewhere.path().join("stolen"), dir.path().join("app/svid.pem")).unwrap();
    let error = write(&folder(dir.path(), "app"), &[("svid.pem", "s")]).unwrap_err();
    assert!(error.to_string().ends_with("app/svid.pem is there and was not written here: move it away"), "{error}");
    assert!(names(elsewhere.path()).is_empty());
    for name in ["", ".", "..", "..data", ".hidden", "a/b", "a\0b"] {
        assert!(SwitchedFolder::new(dir.path(), [name]).is_err(), "{name:?}");
        assert!(write(&folder(dir.path(), "names"), &[(name, "")]).is_err(), "{name:?}");
    }
}

#[test]
fn what_fails_leaves_the_old_files_and_nothing_half_done() {
    let dir = tempfile::tempdir().unwrap();
    let web = folder(dir.path(), "web");
    write(&web, &[("svid.pem", "old")]).unwrap();
    let before = names(&web.path());
    let long = "n".repeat(NAME_BYTES_MAX + 1);
    assert!(write(&web, &[("svid.pem", "new"), (&long, "")]).is_err());
    // Twice the same name: the second cannot be created when the first is there already.
    let error = write(&web, &[("svid.pem", "new"), ("svid.pem", "again")]).unwrap_err();
    assert!(error.to_string().contains("web/svid.pem: "), "{error}");
    assert_eq!((names(&web.path()), fs::read(web.path().join("svid.pem")).unwrap()), (before, b"old".to_vec()));
}

#[test]
fn left_overs_of_a_crash_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    let web = folder(dir.path(), "web");
    write(&web, &[("svid.pem", "1")]).unwrap();
    fs::create_dir(web.path().join("..files-abc")).unwrap();
    fs::write(web.path().join("..files-abc/svid.pem"), "half").unwrap();
    symlink("..files-abc", web.path().join("..data.new")).unwrap();
    write(&web, &[("svid.pem", "2")]).unwrap();
    assert_eq!((names(&web.path()).len(), fs::read(web.path().join("svid.pem")).unwrap()), (3, b"2".to_vec()));
}

#[test]
fn removing_takes_its_own_and_leaves_what_is_others() {
    let dir = tempfile::tempdir().unwrap();
    let (web, app) = (folder(dir.path(), "team/web"), folder(dir.path(), "team/app"));
    for one in [&web, &app] {
        write(one, &[("svid.pem", "s")]).unwrap();
    }
    fs::write(app.path().join("notes"), "mine").unwrap();
    let mut found = SwitchedFolder::all_below(dir.path(), 8, 100).unwrap();
    found.sort_by_key(SwitchedFolder::path);
    assert_eq!(found, [app.clone(), web.clone()]);
    assert_eq!(SwitchedFolder::all_below(dir.path(), 1, 100).unwrap(), []);
    for one in [&web, &app] {
        one.remove().unwrap();
        one.remove().unwrap();
    }
    assert_eq!(names(&dir.path().join("team")), ["app".to_owned()].into());
    assert_eq!(names(&app.path()), ["notes".to_owned()].into());
    assert_eq!(SwitchedFolder::all_below(dir.path(), 8, 100).unwrap(), []);
    folder(dir.path(), "never/there").remove().unwrap();
}
