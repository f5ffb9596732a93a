//go:build linux

package main

// with says what was measured with.
func (b *bench) with() string { return "" }

// bounds says what bounds each figure.
func (b *bench) bounds() string { return "" }
