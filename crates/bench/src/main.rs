//! `emqx_bench`: clients by the thousand, in the words of emqtt-bench, and the loads that brokers are
//! compared by.

fn main() -> std::process::ExitCode {
    bench::cli::main()
}
