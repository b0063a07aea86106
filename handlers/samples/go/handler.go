// The sample `order.confirm` in Go: checks an order, adds it up, and asks for one effect.
//
// In scope: the contract's two functions. What an order is, and the rules it keeps, are in order.go.
// Out of scope: stock, customers, sending anything. Whoever carries the effect out does that.
//
// To say no, return a failure. A panic is a trap, and recorded as a fault.
package handler

import (
	_ "embed"
	"encoding/json"

	"go.bytecodealliance.org/pkg/wit/types"
	contract "wit_component/openexec_handler_guest" // made by wit-bindgen
)

//go:embed payload.schema.json
var payloadSchema string

//go:embed output.schema.json
var outputSchema string

type result = types.Result[contract.Outcome, contract.Failure]

type confirmation struct {
	Confirmation string `json:"confirmation"`
	ConfirmedAt  uint64 `json:"confirmed_at"`
	Currency     string `json:"currency"`
	Items        int64  `json:"items"`
	Order        string `json:"order"`
	TotalMinor   int64  `json:"total_minor"`
}

// Handle performs one call.
func Handle(request contract.Request) result {
	order, ok := parseOrder(request.Payload)
	if !ok {
		return fail(contract.MakeFailureInvalidPayload("payload-malformed: expected an order as the payload schema says"))
	}
	items, total, broken := order.addUp()
	if broken != "" {
		return fail(contract.MakeFailureRejected(broken))
	}
	body, err := json.Marshal(confirmation{
		Confirmation: request.ExecId,   // instead of a random id: the same call has the same one on every run
		ConfirmedAt:  request.IssuedAt, // instead of a clock
		Currency:     order.Currency,
		Items:        items,
		Order:        order.Order,
		TotalMinor:   total,
	})
	if err != nil {
		return fail(contract.MakeFailureInternal("output: " + err.Error()))
	}
	effects := []contract.Effect{{Kind: "order.confirm", Body: string(body)}}
	return types.Ok[contract.Outcome, contract.Failure](contract.Outcome{Output: string(body), Effects: effects})
}

// Describe says what the handler is and takes.
func Describe() contract.Description {
	return contract.Description{
		Title:         "Order confirmation",
		Summary:       "Adds an order up and confirms it, if it keeps the limits. Its one effect is an order.confirm.",
		PayloadSchema: payloadSchema,
		OutputSchema:  outputSchema,
	}
}

func fail(failure contract.Failure) result { return types.Err[contract.Outcome](failure) }
