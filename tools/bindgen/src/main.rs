//! Makes the JavaScript around a wasm module: `reprise-bindgen MODULE.wasm FOLDER NAME` writes `NAME.js` and `NAME_bg.wasm`.
//!
//! It is wasm-bindgen's own command line as a library, of the version that the modules are compiled against. It is a
//! package of its own so that xtask, which everything else waits for, need not be built with it.

use anyhow::{Context, bail};
use std::env;
use std::ffi::OsString;
use std::path::Path;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [module, folder, name] = arguments.as_slice() else {
        bail!("usage: reprise-bindgen MODULE.wasm FOLDER NAME");
    };
    let name = name.to_str().context("NAME is not UTF-8")?;
    Bindgen::new()
        .input_path(Path::new(module))
        .out_name(name)
        .web(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(Path::new(folder))
        .with_context(|| {
            format!(
                "{} cannot be given its JavaScript",
                Path::new(module).display()
            )
        })
}
