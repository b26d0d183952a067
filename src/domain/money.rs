//! Money: decimal, with a currency, never a float.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Money {
    /// The amount as a decimal string, such as `"147.2400"`.
    #[serde(with = "rust_decimal::serde::str")]
    #[schema(value_type = String, example = "147.2400", pattern = r"^-?[0-9]+(\.[0-9]+)?$")]
    pub amount: Decimal,
    /// ISO 4217 code.
    #[schema(example = "USD")]
    pub currency: String,
}

/// Where a cost comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CostOrigin {
    /// On an invoice.
    Billed,
    /// Measured from what is running now.
    RunRate,
    /// The list price of what is rented.
    Listed,
    /// Derived by somebody from something else.
    Estimated,
}

/// What the cluster costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cost {
    /// Cost per hour.
    pub hourly: Money,
    /// Where the figure comes from.
    pub origin: CostOrigin,
    /// When the vendor last computed it.
    pub as_of: Option<Timestamp>,
}
