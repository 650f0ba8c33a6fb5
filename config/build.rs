//! Messages of Weir's own services, from their `.proto` files (no protoc: protox is Rust).

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["weir/usage/v1/usage.proto"], ["proto"])?;
    let messages: Vec<_> =
        files.file.into_iter().map(|file| prost_types::FileDescriptorProto { service: Vec::new(), ..file }).collect();
    prost_build::Config::new().compile_fds(prost_types::FileDescriptorSet { file: messages })?;
    Ok(())
}
