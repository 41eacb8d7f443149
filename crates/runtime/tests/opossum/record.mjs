// Records traces.json: what opossum's breaker does with generated histories, against which the runtime's is tested.
//
//   npm ci && npm run record        (the same file again: generator and clock are deterministic)
//
// A history is its settings (errorPercent, windowMs, minRequests, resetAfterMs) and its events, such as `250c7+c`:
// milliseconds since the event before, what happens, number of the call, what opossum did. `c` starts a call (`+` let through, `-` refused), `s` and `f` end one well or badly, `l` only looks; the state
// afterwards is `c`losed, `o`pen or `h`alf open. Calls overlap and end in any order, many of them across state changes.
// The bulkhead is left out (no `capacity`): its refusals count as failures in opossum, and not in the runtime.

import { writeFileSync } from 'node:fs'
import { mock } from 'node:test'
import CircuitBreaker from 'opossum'

const HISTORIES = 260
const EVENTS = 70

// mulberry32: small, seeded, good enough to choose events.
function generator (seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

const state = breaker => breaker.opened ? 'o' : breaker.halfOpen ? 'h' : 'c'
// Promises settle in several turns; setImmediate is not mocked.
const settled = () => new Promise(resolve => setImmediate(resolve))

async function record (seed) {
  const random = generator(seed)
  const pick = list => list[Math.floor(random() * list.length)]
  const settings = [pick([0, 10, 28, 33, 50, 50, 75, 99, 100]), pick([20, 100, 999, 1000, 5000, 10000]),
    pick([1, 2, 3, 5, 10]), pick([1, 50, 500, 1000, 7000])]
  const [errorThresholdPercentage, rollingCountTimeout, volumeThreshold, resetTimeout] = settings

  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] })
  const breaker = new CircuitBreaker(action => action, {
    errorThresholdPercentage,
    rollingCountTimeout,
    rollingCountBuckets: 10,
    volumeThreshold,
    resetTimeout,
    timeout: false,
    rollingPercentilesEnabled: false,
    enableSnapshots: false
  })
  const open = []
  const events = []
  let badness = random()
  for (let number = 0; events.length < EVENTS; number++) {
    if (random() < 0.08) badness = random()
    const scale = pick([0, 1, 10, rollingCountTimeout / 10, rollingCountTimeout / 3, resetTimeout / 2, resetTimeout])
    const pause = Math.floor(random() * 2 * scale)
    mock.timers.tick(pause)
    await settled()
    const dice = random()
    if (dice < 0.55) {
      let end
      const call = breaker.fire(new Promise((resolve, reject) => { end = { resolve, reject } }))
      let refused = false
      call.catch(error => { refused = error.code === 'EOPENBREAKER' })
      await settled()
      if (!refused) open.push({ number, ...end })
      events.push(`${pause}c${number}${refused ? '-' : '+'}${state(breaker)}`)
    } else if (dice < 0.95 && open.length > 0) {
      const [call] = open.splice(Math.floor(random() * open.length), 1)
      const bad = random() < badness
      if (bad) call.reject(new Error('bad')); else call.resolve()
      await settled()
      events.push(`${pause}${bad ? 'f' : 's'}${call.number}${state(breaker)}`)
    } else {
      events.push(`${pause}l${number}${state(breaker)}`)
    }
  }
  breaker.shutdown()
  mock.timers.reset()
  return { settings, events: events.join(' ') }
}

const histories = []
for (let seed = 1; seed <= HISTORIES; seed++) histories.push(JSON.stringify(await record(seed)))
writeFileSync(new URL('traces.json', import.meta.url), `[\n${histories.join(',\n')}\n]\n`)
