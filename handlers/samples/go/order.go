package handler

import (
	"encoding/json"
	"slices"
)

const (
	linesMax      = 100
	quantityMax   = 10_000
	unitMinorMax  = 100_000_000
	totalMinorMax = 10_000_000_000
)

var currencies = []string{"EUR", "GBP", "USD"}

// An order. The members are in the order of canonical JSON: see parseOrder.
type order struct {
	Currency string `json:"currency"`
	Lines    []line `json:"lines"`
	Order    string `json:"order"`
}

type line struct {
	Quantity  int64  `json:"quantity"`
	Sku       string `json:"sku"`
	UnitMinor int64  `json:"unit_minor"`
}

// parseOrder reads a payload, and says whether it has the shape of an order. The host sends canonical JSON, which has one
// spelling for each value: a payload that is not written back as it came lacks a member, or has one that orders have not.
func parseOrder(payload string) (order, bool) {
	var parsed order
	if json.Unmarshal([]byte(payload), &parsed) != nil {
		return order{}, false
	}
	again, err := json.Marshal(parsed)
	if err != nil || string(again) != payload {
		return order{}, false
	}
	shaped := len(parsed.Currency) == 3 && consistsOf(parsed.Currency, isCapital) && isName(parsed.Order)
	for _, line := range parsed.Lines {
		shaped = shaped && isName(line.Sku)
	}
	return parsed, shaped
}

// addUp gives the items of an order and what they cost, or else the rule it breaks. The limits keep the sums far below 2^63.
func (order order) addUp() (items, total int64, broken string) {
	switch {
	case !slices.Contains(currencies, order.Currency):
		return 0, 0, "currency-not-accepted: prices are in EUR, GBP or USD"
	case len(order.Lines) == 0:
		return 0, 0, "order-empty: an order has at least one line"
	case len(order.Lines) > linesMax:
		return 0, 0, "order-too-long: an order has at most 100 lines"
	}
	for _, line := range order.Lines {
		switch {
		case line.Quantity < 1 || line.Quantity > quantityMax:
			return 0, 0, "quantity-out-of-range: a quantity is from 1 to 10000"
		case line.UnitMinor < 0 || line.UnitMinor > unitMinorMax:
			return 0, 0, "price-out-of-range: a unit price is from 0 to 100000000 minor units"
		}
		items += line.Quantity
		total += line.Quantity * line.UnitMinor
	}
	if total > totalMinorMax {
		return 0, 0, "total-over-limit: at most 10000000000 minor units are confirmed in one order"
	}
	return items, total, ""
}

func isName(text string) bool {
	return len(text) >= 1 && len(text) <= 40 && consistsOf(text, func(c byte) bool {
		return isCapital(c) || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-'
	})
}

func isCapital(c byte) bool { return c >= 'A' && c <= 'Z' }

func consistsOf(text string, allowed func(byte) bool) bool {
	for i := range len(text) {
		if !allowed(text[i]) {
			return false
		}
	}
	return true
}
