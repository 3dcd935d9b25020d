//! The program: `bin/emqx`, and under its other name `bin/emqx_ctl`.

#[global_allocator]
static ALLOCATOR: server::allocator::Allocator = server::allocator::Allocator;

fn main() -> std::process::ExitCode {
    server::cli::main(server::run::run)
}
