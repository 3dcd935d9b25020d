//! The program: `bin/emqx`, and under its other name `bin/emqx_ctl`.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    server::cli::main(server::run::run)
}
