//! `cluster.discovery = static`: the names are listed in `cluster.static.seeds`.

/// The list.
pub(super) struct Static {
    seeds: Vec<String>,
}

impl Static {
    /// Names as they are written; one that is listed twice is asked once.
    pub fn new(seeds: &[String]) -> Self {
        let mut listed: Vec<String> = Vec::new();
        for seed in seeds {
            if !listed.contains(seed) {
                listed.push(seed.clone());
            }
        }
        Self { seeds: listed }
    }

    pub fn asks(&self) -> String {
        if self.seeds.is_empty() {
            return "cluster.static.seeds, which is empty".into();
        }
        "cluster.static.seeds".into()
    }

    pub fn ask(&self) -> Vec<String> {
        self.seeds.clone()
    }
}
