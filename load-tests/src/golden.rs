//! Golden files: what the code writes, as it was last reviewed. `make golden` rewrites them.

use std::fs;
use std::path::Path;

/// Compares `text` with a file of `load-tests/golden`.
pub(crate) fn same(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    if std::env::var_os("WEIR_REGENERATE").is_some() {
        fs::write(&file, text).unwrap();
    }
    let golden = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}; run `make golden`", file.display()));
    assert!(golden == text, "{} differs; run `make golden` and review the diff. Now:\n{text}", file.display());
}
