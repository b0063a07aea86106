//! An order: its shape and the rules it keeps.
//!
//! In scope: what can be said by looking at the payload alone. Out of scope: the contract (`lib`).

use serde::Deserialize;

const CURRENCIES: [&str; 3] = ["EUR", "GBP", "USD"];
const LINES_MAX: usize = 100;
const QUANTITY_MAX: i64 = 10_000;
const UNIT_MINOR_MAX: i64 = 100_000_000;
const TOTAL_MINOR_MAX: i64 = 10_000_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    pub(crate) currency: String,
    lines: Vec<Line>,
    pub(crate) order: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    quantity: i64,
    sku: String,
    unit_minor: i64,
}

pub(crate) struct Sum {
    pub(crate) items: i64,
    pub(crate) total_minor: i64,
}

pub(crate) enum Refusal {
    /// Not the shape of an order.
    Malformed,
    /// An order that breaks a rule.
    Rule(&'static str),
}

impl Order {
    pub(crate) fn parse(payload: &str) -> Result<Self, Refusal> {
        let order: Self = serde_json::from_str(payload).map_err(|_| Refusal::Malformed)?;
        let currency = order.currency.len() == 3 && order.currency.bytes().all(|b| b.is_ascii_uppercase());
        let names = is_name(&order.order) && order.lines.iter().all(|line| is_name(&line.sku));
        if currency && names { Ok(order) } else { Err(Refusal::Malformed) }
    }

    /// How many items the order has and what they cost, if it keeps the rules. The limits keep the sums far below 2^63.
    pub(crate) fn add_up(&self) -> Result<Sum, Refusal> {
        let keep = |kept: bool, text| if kept { Ok(()) } else { Err(Refusal::Rule(text)) };
        keep(CURRENCIES.contains(&self.currency.as_str()), "currency-not-accepted: prices are in EUR, GBP or USD")?;
        keep(!self.lines.is_empty(), "order-empty: an order has at least one line")?;
        keep(self.lines.len() <= LINES_MAX, "order-too-long: an order has at most 100 lines")?;
        let mut sum = Sum { items: 0, total_minor: 0 };
        for line in &self.lines {
            keep((1..=QUANTITY_MAX).contains(&line.quantity), "quantity-out-of-range: a quantity is from 1 to 10000")?;
            keep(
                (0..=UNIT_MINOR_MAX).contains(&line.unit_minor),
                "price-out-of-range: a unit price is from 0 to 100000000 minor units",
            )?;
            sum.items += line.quantity;
            sum.total_minor += line.quantity * line.unit_minor;
        }
        keep(
            sum.total_minor <= TOTAL_MINOR_MAX,
            "total-over-limit: at most 10000000000 minor units are confirmed in one order",
        )?;
        Ok(sum)
    }
}

fn is_name(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}
