module goodgo.io/clients

go 1.26
