// Package runtime has what bindings for this contract use of the module go.bytecodealliance.org/pkg: memory for what
// crosses the boundary. Enough for contracts without resources and streams.
package runtime

import (
	"runtime"
	"unsafe"
)

var params runtime.Pinner // argument memory handed out by cabi_realloc during lowering

// Allocate returns size bytes of zeroed, pinned memory (size 0 -> the alignment itself, never dereferenced).
func Allocate(p *runtime.Pinner, size, align uintptr) unsafe.Pointer {
	if size == 0 {
		return unsafe.Pointer(align)
	}
	var ptr unsafe.Pointer
	switch align {
	case 1:
		ptr = unsafe.Pointer(unsafe.SliceData(make([]uint8, size)))
	case 2:
		ptr = unsafe.Pointer(unsafe.SliceData(make([]uint16, (size+1)/2)))
	case 4:
		ptr = unsafe.Pointer(unsafe.SliceData(make([]uint32, (size+3)/4)))
	default:
		ptr = unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+7)/8)))
	}
	p.Pin(ptr)
	return ptr
}

// Unpin releases the pins on the current call's argument memory (the strings keep it reachable).
func Unpin() { params.Unpin() }

//go:wasmexport cabi_realloc
func cabiRealloc(old uintptr, oldSize, align, newSize uint32) uintptr {
	dst := Allocate(&params, uintptr(newSize), uintptr(align))
	if oldSize != 0 {
		copy(unsafe.Slice((*byte)(dst), newSize), unsafe.Slice((*byte)(unsafe.Pointer(old)), oldSize))
	}
	return uintptr(dst)
}
