/// What became of the numbers that a model asked for.
#[derive(Debug, Default)]
pub(crate) struct Used {
    pub(crate) fallbacks: Vec<String>,
    pub(crate) left_out: Vec<&'static str>,
}
