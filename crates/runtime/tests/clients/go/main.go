// A service that answers with what iam-service answered, with the standard library's client.
package main

import (
	"io"
	"log"
	"net/http"
	"os"

	"goodgo.io/clients/continued"
)

var iamURL = os.Getenv("IAM_SERVICE_URL")

func relay(client *http.Client) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// The context of the request being served is what the calls are made with, as everywhere in Go.
		call, err := http.NewRequestWithContext(r.Context(), http.MethodGet, iamURL+"/whoami", nil)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answer, err := client.Do(call)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		if _, err := io.Copy(w, answer.Body); err != nil {
			log.Print(err)
		}
	}
}

func main() {
	http.HandleFunc("/http", relay(continued.Client))
	// Not one line for the platform: what a service that was written without it does.
	http.HandleFunc("/plain", relay(http.DefaultClient))
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), continued.Serving(http.DefaultServeMux)))
}
