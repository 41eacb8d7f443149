// Package continued lets calls continue the request that they are made for.
package continued

// guide: begin
import (
	"context"
	"net/http"
)

var passed = []string{"X-Goodgo-Context", "X-Correlation-Id", "Traceparent"}

type served struct{}

// Serving keeps the headers of the request being served in its context.
func Serving(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), served{}, r.Header)))
	})
}

type transport struct{}

func (transport) RoundTrip(call *http.Request) (*http.Response, error) {
	if headers, ok := call.Context().Value(served{}).(http.Header); ok {
		call = call.Clone(call.Context())
		for _, name := range passed {
			if value := headers.Get(name); value != "" && call.Header.Get(name) == "" {
				call.Header.Set(name, value)
			}
		}
	}
	return http.DefaultTransport.RoundTrip(call)
}

// Client makes calls that continue the request whose context they carry.
var Client = &http.Client{Transport: transport{}}

// guide: end
