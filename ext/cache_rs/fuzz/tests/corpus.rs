//! Every committed input through its target, and some cuts of it.

use std::fs;
use std::path::Path;

#[test]
fn every_target_takes_its_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut directories: Vec<_> = fs::read_dir(&corpus)
        .expect("the corpus")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a plain name")
        })
        .collect();
    directories.sort();
    let names: Vec<_> = ronkms_fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(directories, names, "one directory per target");
    for (name, target) in ronkms_fuzz::TARGETS {
        let mut inputs = 0;
        for entry in fs::read_dir(corpus.join(name)).expect("the corpus of a target") {
            let path = entry.expect("an entry").path();
            // Printed only when a target panics.
            eprintln!("{}", path.display());
            let data = fs::read(&path).expect("an input");
            target(&data);
            for part in 1..4 {
                target(&data[..data.len() * part / 4]);
            }
            inputs += 1;
        }
        assert!(inputs > 0, "no input for {name}");
    }
}
