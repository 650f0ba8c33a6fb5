//! The client of Weir's own gRPC services; their messages are `weir-config`'s.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../config/proto");
    let files = protox::compile(["weir/usage/v1/usage.proto"], ["../config/proto"])?;
    let generate =
        |builder: tonic_prost_build::Builder| builder.extern_path(".weir.usage.v1", "::weir_config::usage::v1");
    generate(tonic_prost_build::configure().build_server(false)).compile_fds(files.clone())?;
    // The other side, for tests of the client.
    let server = std::path::Path::new(&std::env::var("OUT_DIR")?).join("server");
    std::fs::create_dir_all(&server)?;
    generate(tonic_prost_build::configure().build_client(false).out_dir(server)).compile_fds(files)?;
    Ok(())
}
