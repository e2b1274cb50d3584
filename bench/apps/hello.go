// SPDX-License-Identifier: MIT

// hello PATH: the same application on net/http/fcgi.
package main

import (
	"io"
	"net"
	"net/http"
	"net/http/fcgi"
	"os"
	"strconv"
	"strings"
)

func main() {
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		panic(err)
	}
	page := strings.Repeat("x", 10240)
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		// Without it the package writes the time, and answers would differ.
		w.Header().Set("Date", "Thu, 01 Jan 1970 00:00:00 GMT")
		switch {
		case r.URL.Path == "/page":
			io.WriteString(w, page)
		case r.ContentLength > 0:
			n, _ := io.Copy(io.Discard, r.Body)
			io.WriteString(w, strconv.FormatInt(n, 10)+"\n")
		default:
			io.WriteString(w, "Hello\n")
		}
	}
	panic(fcgi.Serve(listener, http.HandlerFunc(handler)))
}
