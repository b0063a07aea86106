//! Currencies: the ISO 4217 codes that accounts are kept in, and how many decimals each has.
//!
//! In scope: looking a code up, spelling an amount.
//! Out of scope: exchange rates, and which currencies a bank or a scheme takes.
//!
//! Source: ISO 4217 List One as of 1 January 2026 (amendment 180), 178 codes.

use crate::refusal::Refusal;

/// Codes without decimals.
const DECIMALS_0: &[&str] =
    &["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"];

const DECIMALS_2: &[&str] = &[
    "AED", "AFN", "ALL", "AMD", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BMD", "BND", "BOB", "BRL",
    "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHF", "CNY", "COP", "CRC", "CUP", "CVE", "CZK", "DKK", "DOP",
    "DZD", "EGP", "ERN", "ETB", "EUR", "FJD", "FKP", "GBP", "GEL", "GHS", "GIP", "GMD", "GTQ", "GYD", "HKD", "HNL",
    "HTG", "HUF", "IDR", "ILS", "INR", "IRR", "JMD", "KES", "KGS", "KHR", "KPW", "KYD", "KZT", "LAK", "LBP", "LKR",
    "LRD", "LSL", "MAD", "MDL", "MGA", "MKD", "MMK", "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN", "MYR", "MZN",
    "NAD", "NGN", "NIO", "NOK", "NPR", "NZD", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "QAR", "RON", "RSD", "RUB",
    "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SOS", "SRD", "SSP", "STN", "SVC", "SYP", "SZL", "THB",
    "TJS", "TMT", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "USD", "UYU", "UZS", "VED", "VES", "WST", "XCD", "XCG",
    "YER", "ZAR", "ZMW", "ZWG",
];

const DECIMALS_3: &[&str] = &["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

/// Funds and index units, units of account, bond market units, precious metals, the test code and "no currency".
const NOT_TRANSFERABLE: &[&str] = &[
    "BOV", "CHE", "CHW", "CLF", "COU", "MXV", "USN", "UYI", "UYW", "XAD", "XAG", "XAU", "XBA", "XBB", "XBC", "XBD",
    "XDR", "XPD", "XPT", "XSU", "XTS", "XUA", "XXX",
];

/// A currency that accounts are kept in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Currency {
    code: &'static str,
    n_decimals: usize,
}

impl Currency {
    pub(crate) fn parse(code: &str) -> Result<Self, Refusal> {
        if NOT_TRANSFERABLE.contains(&code) {
            return Err(Refusal::CurrencyNotTransferable);
        }
        [(DECIMALS_0, 0), (DECIMALS_2, 2), (DECIMALS_3, 3)]
            .into_iter()
            .find_map(|(codes, n_decimals)| {
                let code = codes.iter().copied().find(|known| *known == code)?;
                Some(Self { code, n_decimals })
            })
            .ok_or(Refusal::CurrencyUnknown)
    }

    pub(crate) fn code(&self) -> &'static str {
        self.code
    }

    /// The amount in major units, with all the decimals of the currency: 5 cents are `0.05`.
    pub(crate) fn decimal(&self, amount_minor: u64) -> String {
        let digits = format!("{amount_minor:0width$}", width = self.n_decimals + 1);
        match digits.split_at(digits.len() - self.n_decimals) {
            (whole, "") => whole.to_owned(),
            (whole, fraction) => format!("{whole}.{fraction}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Currency, DECIMALS_0, DECIMALS_2, DECIMALS_3, NOT_TRANSFERABLE};
    use crate::refusal::Refusal;

    #[test]
    fn the_table_has_every_code_once() {
        let mut codes = [DECIMALS_0, DECIMALS_2, DECIMALS_3, NOT_TRANSFERABLE].concat();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), 178);
        assert!(codes.iter().all(|code| code.len() == 3));
    }

    #[test]
    fn amounts_have_the_decimals_of_their_currency() {
        let decimal = |code, amount| Currency::parse(code).unwrap().decimal(amount);
        assert_eq!(decimal("EUR", 1), "0.01");
        assert_eq!(decimal("EUR", 125_000), "1250.00");
        assert_eq!(decimal("JPY", 7), "7");
        assert_eq!(decimal("KWD", 12), "0.012");
        assert_eq!(decimal("KWD", 1_234_567), "1234.567");
    }

    #[test]
    fn codes_are_exact_and_active() {
        for code in ["", "eur", "EU", "EURO", "DEM", "HRK", "BGN", "ZWL", " EUR"] {
            assert_eq!(Currency::parse(code), Err(Refusal::CurrencyUnknown), "{code}");
        }
    }

    #[test]
    fn metals_funds_and_test_codes_cannot_be_transferred() {
        for code in ["XAU", "XTS", "XXX", "XDR", "CHE", "UYI"] {
            assert_eq!(Currency::parse(code), Err(Refusal::CurrencyNotTransferable), "{code}");
        }
    }
}
