// Package types has the one type of the module go.bytecodealliance.org/pkg that bindings for this contract use, so that
// building needs no module proxy. Where there is one, the module itself does as well.
package types

const (
	ResultOk  uint8 = 0
	ResultErr uint8 = 1
)

// Result is what the contract calls result<T, E>.
type Result[T, E any] struct {
	tag uint8
	ok  T
	err E
}

func Ok[T, E any](value T) Result[T, E] { return Result[T, E]{tag: ResultOk, ok: value} }

func Err[T, E any](failure E) Result[T, E] { return Result[T, E]{tag: ResultErr, err: failure} }

func (result Result[T, E]) Tag() uint8 { return result.tag }

func (result Result[T, E]) Ok() T {
	if result.tag != ResultOk {
		panic("the result is a failure")
	}
	return result.ok
}

func (result Result[T, E]) Err() E {
	if result.tag != ResultErr {
		panic("the result is no failure")
	}
	return result.err
}
