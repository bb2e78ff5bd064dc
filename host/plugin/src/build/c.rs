//! C and C++: clang for `wasm32-wasi`, by Zig or by the system's packages, as a reactor.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Deserialize;

use super::component::Made;
use super::tool::{Tool, Version, is_program, which};
use super::{Language, Settings, not_a_plugin};
use crate::error::PluginError;

/// The manifest of a plugin in C or C++.
pub(super) const MANIFEST: &str = "plugin.toml";
/// By which the SDK is known; it is in a directory of headers.
const SDK_HEADER: &str = "wasmill.h";
/// What of the SDK is compiled with every plugin.
const SDK_SOURCES: [&str; 3] = ["src/*.c", "generated/*.c", "vendor/*/*.c"];
const CLANG_MIN: Version = Version(16, 0, 0);
/// Where Debian's and Fedora's wasi-libc is.
const SYSROOTS: [&str; 2] = ["/usr", "/usr/share/wasi-sysroot"];
const INSTALL: &str = "install one of these: Zig (`pip install ziglang` in a `.venv` of the project, or from \
                       https://ziglang.org/download on the PATH); Debian's clang (`apt-get install clang-19 lld-19 wasi-libc \
                       libclang-rt-19-dev-wasm32`, for C++ also `libc++-19-dev-wasm32 libc++abi-19-dev-wasm32`); \
                       the WASI SDK (name its directory in WASI_SDK_PATH)";

/// What `plugin.toml` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    language: Dialect,
    /// Files, or patterns of files.
    sources: Vec<String>,
    /// Directories of headers.
    #[serde(default)]
    include: Vec<PathBuf>,
    /// The directory of the SDK.
    sdk: Option<PathBuf>,
    /// For the compiler.
    #[serde(default)]
    flags: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Dialect {
    #[serde(rename = "c")]
    C,
    #[serde(rename = "c++")]
    Cpp,
}

impl Dialect {
    fn language(self) -> Language {
        match self {
            Self::C => Language::C,
            Self::Cpp => Language::Cpp,
        }
    }
}

/// A compiler that was found.
struct Compiler {
    tool: Tool,
    /// Before all other arguments.
    flags: Vec<OsString>,
}

/// Checks the tools, before anything is built.
pub(super) fn check(dir: &Path) -> Result<(), PluginError> {
    let manifest = read_manifest(dir)?;
    let compiler = find(dir, manifest.language)?;
    // Each of the kinds says it in its own way, clang's number included.
    let has = compiler.tool.version(dir, &["--version"])?;
    compiler.tool.need(dir, has, CLANG_MIN)
}

/// Reads `plugin.toml`.
pub(super) fn read_manifest(dir: &Path) -> Result<Manifest, PluginError> {
    super::read_toml(
        &dir.join(MANIFEST),
        "`language` (\"c\" or \"c++\"), `sources`, `include`, `sdk` and `flags`",
    )
}

/// Compiles a plugin to a core module.
pub(super) fn compile(dir: &Path, settings: Settings) -> Result<Made, PluginError> {
    let start = Instant::now();
    let manifest = read_manifest(dir)?;
    let compiler = find(dir, manifest.language)?;
    let work = super::work_dir()?;
    let module = work.path().join("plugin.wasm");

    let mut sources = super::files(dir, MANIFEST, "sources", &manifest.sources)?;
    let mut include: Vec<PathBuf> = manifest.include.clone();
    if let Some(sdk) = &manifest.sdk {
        if !dir.join(sdk).join(SDK_HEADER).is_file() {
            let sdk_dir = dir.join(sdk);
            return Err(not_a_plugin(
                dir,
                format!(
                    "`sdk` of {MANIFEST} names {0}, which has no `{SDK_HEADER}`; `wasmill new sdk {0} --lang c` puts \
                     the SDK there",
                    sdk_dir.display()
                ),
            ));
        }
        let patterns = SDK_SOURCES.map(str::to_owned);
        sources.extend(super::files(&dir.join(sdk), "the SDK", "sources", &patterns)?);
        include.push(sdk.clone());
    }
    // Bindings ask for a symbol of an object file that only carries the types of the world; those are
    // embedded here instead.
    let types = work.path().join("component_type.c");
    std::fs::write(&types, COMPONENT_TYPE).map_err(|error| PluginError::io("write", &types, error))?;

    sources.push(types);
    let include: Vec<PathBuf> = include
        .iter()
        .map(|path| absolute(dir, path))
        .collect::<Result<_, _>>()?;
    let base = |compiler: &Compiler, dir: &Path| {
        let mut command = compiler.tool.command(dir);
        // Zig writes DWARF unless it is told not to.
        command
            .args(&compiler.flags)
            .args(["-O2", if settings.debug { "-g" } else { "-g0" }]);
        for path in &include {
            command.arg("-I").arg(path);
        }
        command
    };
    if manifest.language == Dialect::Cpp {
        // C among C++ is compiled by itself: flags such as `-std=c++20` are not for it.
        let is_c = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "c");
        let (c, cpp): (Vec<_>, Vec<_>) = sources.into_iter().partition(is_c);
        let plain = find(dir, Dialect::C)?;
        let mut command = base(&plain, work.path());
        command.args(manifest.flags.iter().filter(|flag| !flag.starts_with("-std=")));
        plain.tool.run(dir, command.arg("-c").args(&c))?;
        sources = cpp;
        sources.extend(super::files(
            work.path(),
            "the compiler",
            "objects",
            &["*.o".to_owned()],
        )?);
    }
    let mut command = base(&compiler, dir);
    if manifest.language == Dialect::Cpp {
        // The host has no exceptions.
        command.arg("-fno-exceptions");
    }
    command
        .arg("-mexec-model=reactor")
        .args(&manifest.flags)
        .args(&sources)
        .arg("-o")
        .arg(&module);
    compiler.tool.run(dir, &mut command)?;
    Made::read(&module, dir, manifest.language.language(), start)
}

fn absolute(dir: &Path, path: &Path) -> Result<PathBuf, PluginError> {
    let path = dir.join(path);
    path.canonicalize().map_err(|_| {
        not_a_plugin(
            dir,
            format!("`include` of {MANIFEST} names {}, which is not there", path.display()),
        )
    })
}

const COMPONENT_TYPE: &str = "\
__attribute__((weak)) void __component_type_object_force_link_everything(void) {}
__attribute__((weak)) void __component_type_object_force_link_timed_transform(void) {}
__attribute__((weak)) void __component_type_object_force_link_transform(void) {}
";

/// The first compiler that is there: the project's own, then the user's, then the system's.
fn find(dir: &Path, dialect: Dialect) -> Result<Compiler, PluginError> {
    let (zig_command, clang) = match dialect {
        Dialect::C => ("cc", "clang"),
        Dialect::Cpp => ("c++", "clang++"),
    };
    let zig = |mut command: Vec<OsString>| {
        command.push(zig_command.into());
        Compiler {
            tool: tool("zig", command),
            flags: vec!["-target".into(), "wasm32-wasi".into()],
        }
    };
    for python in super::python::interpreters(dir) {
        if python_has_zig(&python) {
            return Ok(zig(vec![python.into(), "-m".into(), "ziglang".into()]));
        }
    }
    if let Some(program) = which("zig") {
        return Ok(zig(vec![program.into()]));
    }
    if let Some(sdk) = std::env::var_os("WASI_SDK_PATH").map(PathBuf::from) {
        let program = sdk.join("bin").join(clang);
        if is_program(&program) {
            return Ok(Compiler {
                tool: tool("the WASI SDK's clang", vec![program.into()]),
                flags: vec!["--target=wasm32-wasip1".into()],
            });
        }
    }
    let mut names = (16..=30)
        .rev()
        .map(|version| format!("{clang}-{version}"))
        .chain([clang.to_owned()]);
    let sysroot = SYSROOTS
        .iter()
        .find(|root| Path::new(root).join("include/wasm32-wasi").is_dir());
    if let (Some(program), Some(sysroot)) = (names.find_map(|name| which(&name)), sysroot) {
        return Ok(Compiler {
            tool: tool("clang", vec![program.into()]),
            flags: vec!["--target=wasm32-wasi".into(), format!("--sysroot={sysroot}").into()],
        });
    }
    Err(tool("clang", Vec::new()).missing(dir, "no C compiler for WebAssembly is installed"))
}

fn tool(name: &'static str, command: Vec<OsString>) -> Tool {
    Tool {
        name,
        command,
        install: INSTALL.to_owned(),
    }
}

fn python_has_zig(python: &Path) -> bool {
    std::process::Command::new(python)
        .args(["-c", "import importlib.util as u; exit(u.find_spec('ziglang') is None)"])
        .output()
        .is_ok_and(|output| output.status.success())
}
