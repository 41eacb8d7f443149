// Node.js's own servers, which say on stdout what they understood: one JSON line a request or refused message.
'use strict';
const http = require('node:http');
const http2 = require('node:http2');

const tell = (line) => process.stdout.write(JSON.stringify(line) + '\n');

const answer = (request, response) => {
  const body = [];
  request.on('data', (part) => body.push(part));
  request.on('end', () => {
    // A stream that was reset ends too.
    if (request.aborted) return;
    const whole = Buffer.concat(body);
    tell({ method: request.method, target: request.url, body: whole.toString('latin1') });
    response.end(whole);
  });
};

const server = process.argv[2] === 'http2' ? http2.createServer(answer) : http.createServer(answer);
server.on('clientError', (error, socket) => {
  // A connection that ends is no message.
  if (String(error.code).startsWith('HPE_') && error.code !== 'HPE_INVALID_EOF_STATE') tell({ refused: error.code });
  socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
});
server.listen(0, '127.0.0.1', () => tell({ port: server.address().port }));
