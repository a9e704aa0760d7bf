use serde::{Deserialize, Serialize};

/// People, and how long they do what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SceneConfig {
    /// Length of a gesture in seconds; 1.5. In the published recordings it is about 6.
    pub gesture_s: f64,
    /// Share by which that length differs at most; 0.2.
    pub gesture_spread: f64,
    /// Rest between gestures in seconds; 0.5.
    pub rest_s: f64,
    /// Share by which the size of people differs at most; 0.15.
    pub size_spread: f64,
    /// How far people stand at most from the middle, across and along, in pixels; 8 and 6.
    pub place_spread_px: [f64; 2],
    /// Share by which the speed of gestures differs at most; 0.3.
    pub speed_spread: f64,
    /// Share by which the reach of gestures differs at most; 0.2.
    pub reach_spread: f64,
    /// How far the body sways, in pixels; 0.6.
    pub sway_px: f64,
    /// How far the body goes with the arms, as a share of their movement; 0.03.
    pub follow: f64,
    /// How dark or bright clothes are against the wall: the smallest and largest change of the
    /// logarithm of the intensity; 0.5 and 1.5.
    pub contrast: [f64; 2],
    /// How strong the pattern of clothes and the wall is, as a change of the log intensity; 0.12.
    pub texture: f64,
}
