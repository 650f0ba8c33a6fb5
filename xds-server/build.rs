//! The service of Weir's own gRPC services; their messages are `weir-config`'s.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../config/proto");
    let files = protox::compile(["weir/usage/v1/usage.proto"], ["../config/proto"])?;
    tonic_prost_build::configure()
        .build_client(false)
        .build_server(true)
        .extern_path(".weir.usage.v1", "::weir_config::usage::v1")
        .compile_fds(files)?;
    Ok(())
}
