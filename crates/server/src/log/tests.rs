use super::*;

#[test]
fn level_words_are_those_of_the_setting() {
    for level in Level::ALL {
        assert_eq!(level.word().parse::<Level>(), Ok(level));
    }
    assert!("verbose".parse::<Level>().unwrap_err().contains("acceptable values are: all, debug"));
    assert!(Level::Error > Level::Warning);
}

#[test]
fn lines_reach_the_files_of_their_level_and_the_level_changes_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Log {
        to: LogTo::File,
        level: Level::Warning,
        dir: dir.path().to_owned(),
        file: "emqx.log".into(),
        json: false,
        chars_limit: None,
        rotation: None,
        level_files: vec![(Level::Error, "error.log".into())],
        queue_max: 1000,
    };
    let guard = start(&settings).unwrap();
    assert!(start(&settings).is_err());
    let span = tracing::error_span!("link", peer = "emqx@h");
    let _inside = span.enter();
    tracing::info!("unheard");
    tracing::warn!(tries = 3, "it works");
    tracing::error!("lost");
    set_level(Level::Info);
    tracing::info!("heard");
    assert_eq!(level(), Level::Info);
    drop(guard);
    let all = std::fs::read_to_string(dir.path().join("emqx.log")).unwrap();
    let errors = std::fs::read_to_string(dir.path().join("error.log")).unwrap();
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!(lines.len(), 3, "{all}");
    assert!(lines[0].ends_with("[warning] server::log::tests: it works, tries=3 peer=emqx@h"), "{all}");
    assert!(lines[2].ends_with("heard, peer=emqx@h"), "{all}");
    assert_eq!(errors.lines().count(), 1);
}
