//! A disk without room: nothing is left of what did not fit, and what was there is unharmed.

use super::*;
use crate::storage::files::SimulatedFiles;

#[tokio::test]
async fn a_full_disk_harms_nothing() {
    let files = SimulatedFiles::new();
    let store = FileSnapshots::open(Arc::new(files.clone()), "/snapshots".into());
    store.load().unwrap();
    let first = save(&store, 4, &[4; 3_000]).await.unwrap();
    let used = files.used();
    files.set_capacity(Some(used + 2_000));
    let error = save(&store, 6, &[6; 3_000]).await.unwrap_err().to_string();
    assert!(error.contains("unharmed"), "{error}");
    assert_eq!(files.used(), used, "no half of it is left");

    let content = [7; 3_000];
    let meta = meta(7, &content);
    assert_eq!(receive(&store, &meta, 0, &content[..1_000]).await, 1_000);
    let too_much = Bytes::copy_from_slice(&content[1_000..]);
    assert!(arrived(store.receive(meta.clone(), 1_000, too_much)).await.is_err());
    assert_eq!(files.used(), used, "no half of it is left");
    assert_eq!(store.latest(), Some(first.clone()));
    assert_eq!(read(&store, first.at).unwrap(), [4; 3_000]);

    files.set_capacity(None);
    assert_eq!(receive(&store, &meta, 0, &content).await, 3_000);
    assert_eq!(save(&store, 9, b"state").await.unwrap(), self::meta(9, b"state"));
}
