//! What wasmtime makes of the contract in `wit/`.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "transform",
    imports: { default: trappable },
});
