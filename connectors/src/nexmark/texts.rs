//! Random texts and prices.

use std::borrow::Cow;

use super::settings::MOST_BYTES;
use crate::random::Random;

/// Length of the text that the column `extra` is cut from: more than the longest one and 20 %.
const POOL_BYTES: usize = 1 << 20;
const _: () = assert!(MOST_BYTES * 5 / 4 < POOL_BYTES as u64);

/// Random texts have at least so many characters before spaces at their ends are cut.
const SHORTEST: u64 = 3;

const CHANNELS: u32 = 10_000;
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];

/// Texts that many events share.
pub(super) struct Texts {
    pool: String,
    /// The pages of the hot channels.
    hot_urls: Vec<String>,
    /// The names of the other channels, and their pages.
    channels: Vec<(String, String)>,
}

impl Texts {
    pub(super) fn new(seed: u64) -> Self {
        // Events have numbers from 0 on, so they use other sequences.
        let random = &mut Random::new(seed, u64::MAX);
        let hot_urls = HOT_CHANNELS.iter().map(|_| url(random)).collect();
        let channel = |number: u32| {
            let mut url = url(random);
            if random.below(10) > 0 {
                url.push_str(&format!("&channel_id={}", (number.reverse_bits() as i32).unsigned_abs()));
            }
            (format!("channel-{number}"), url)
        };
        let channels = (0..CHANNELS).map(channel).collect();
        let pool = (0..POOL_BYTES).map(|_| letter(random)).collect();
        Self { pool, hot_urls, channels }
    }

    /// A channel and its page. Half of the time, it is one of the four hot ones.
    pub(super) fn channel(&self, random: &mut Random) -> (&str, &str) {
        if random.below(2) > 0 {
            let index = random.below(HOT_CHANNELS.len() as u64) as usize;
            return (HOT_CHANNELS[index], &self.hot_urls[index]);
        }
        let (name, url) = &self.channels[random.below(u64::from(CHANNELS)) as usize];
        (name, url)
    }

    /// A text that fills an event of `size` bytes so that events have `average` bytes on average.
    pub(super) fn extra(&self, size: usize, average: u64, random: &mut Random) -> Cow<'_, str> {
        let Some(rest) = average.checked_sub(size as u64) else { return Cow::Borrowed("") };
        let delta = (rest + 2) / 5;
        let length = (rest - delta + random.below(2 * delta)) as usize;
        let start = random.below((self.pool.len() - length) as u64) as usize;
        Cow::Borrowed(&self.pool[start..start + length])
    }
}

/// A text of random length below `longest`.
pub(super) fn text(longest: u64, random: &mut Random) -> String {
    spaced(longest, ' ', random).trim_matches(' ').to_owned()
}

/// A text of random length below `longest`. One character in thirteen is `space`.
fn spaced(longest: u64, space: char, random: &mut Random) -> String {
    let length = SHORTEST + random.below(longest - SHORTEST);
    (0..length).map(|_| if random.below(13) == 0 { space } else { letter(random) }).collect()
}

fn letter(random: &mut Random) -> char {
    char::from(b'a' + random.below(26) as u8)
}

fn url(random: &mut Random) -> String {
    let mut part = || spaced(5, '_', random);
    format!("https://www.nexmark.com/{}/{}/{}/item.htm?query=1", part(), part(), part())
}

/// One of these.
pub(super) fn one_of<'a>(choices: &[&'a str], random: &mut Random) -> &'a str {
    choices[random.below(choices.len() as u64) as usize]
}

/// A price from 100 to 100,000,000. Its logarithm is distributed evenly.
pub(super) fn price(random: &mut Random) -> i64 {
    // round(100 * 10^(6 u)), but by operations that give the same bits on every machine, which powers need not.
    let exponent = random.unit() * 6.0 * std::f64::consts::LOG2_10;
    let whole = exponent.floor();
    let x = (exponent - whole) * std::f64::consts::LN_2;
    let mut term = 1.0;
    let mut power = 1.0;
    for n in 1..=18 {
        term *= x / f64::from(n);
        power += term;
    }
    (100.0 * power * (1_u64 << (whole as u32)) as f64).round() as i64
}
