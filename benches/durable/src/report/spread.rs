//! The middle of some figures, and how far they lie from each other.

/// 0 throughout if there was nothing.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(figures: impl Iterator<Item = f64>) -> Spread {
        let mut sorted: Vec<_> = figures.collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else { return Spread::default() };
        let half = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => f64::midpoint(sorted[half - 1], sorted[half]),
            _ => sorted[half],
        };
        Spread { min, median, max }
    }

    /// The median, and the others in parentheses.
    pub fn show(&self, digits: usize) -> String {
        let Spread { min, median, max } = self;
        format!("{median:.digits$} ({min:.digits$}..{max:.digits$})")
    }
}

/// Of sorted figures: the least that this share of them does not exceed.
pub fn quantile(sorted: &[f64], quantile: f64) -> f64 {
    let place = (sorted.len() as f64 * quantile).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between_the_middle_two() {
        let spread = Spread::of([4.0, 1.0, 2.0, 10.0].into_iter());
        assert_eq!(spread, Spread { min: 1.0, median: 3.0, max: 10.0 });
        assert_eq!(Spread::of([7.0].into_iter()).median, 7.0);
    }
}
