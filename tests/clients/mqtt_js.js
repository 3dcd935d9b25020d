// mqtt.js against two brokers that are one: listens on A, publishes on B. Arguments: HOST:PORT HOST:PORT.
'use strict'
const assert = require('assert')
const mqtt = require('mqtt')
const [A, B] = process.argv.slice(2).map((at) => 'mqtt://' + at)
const run = 'js' + process.pid
const LIMIT = 10000

// Versions as mqtt.js names them.
const levels = { 3.1: { protocolId: 'MQIsdp', protocolVersion: 3 }, '3.1.1': { protocolVersion: 4 }, '5.0': { protocolVersion: 5 } }

function within (promise, what) {
  let timer
  const late = new Promise((_resolve, reject) => { timer = setTimeout(() => reject(new Error('no ' + what)), LIMIT) })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

async function open (at, name, level, options = {}) {
  const client = mqtt.connect(at, { clientId: `${run}-${name}`, reconnectPeriod: 0, ...levels[level], ...options })
  client.got = []
  client.waiting = []
  client.on('message', (topic, payload, packet) => {
    const m = { topic, text: payload.toString(), qos: packet.qos, retain: packet.retain, properties: packet.properties || {} }
    if (client.waiting.length) client.waiting.shift()(m)
    else client.got.push(m)
  })
  client.on('error', (e) => { throw e })
  const connack = await within(new Promise((resolve) => client.once('connect', resolve)), 'CONNACK')
  client.present = connack.sessionPresent
  return client
}

const next = (client) => client.got.length
  ? Promise.resolve(client.got.shift())
  : within(new Promise((resolve) => client.waiting.push(resolve)), 'message for ' + client.options.clientId)
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

// A subscription is seen on the other node some milliseconds after its SUBACK.
async function ready (listener, publisher, topic) {
  for (let i = 0; i < 200 && !listener.got.length; i++) {
    await publisher.publishAsync(topic, 'ready')
    await pause(20)
  }
  await publisher.publishAsync(topic, 'is ready', { qos: 1 })
  while ((await next(listener)).text !== 'is ready');
}

async function story (level) {
  const topic = `${run}/${level}`
  const listener = await open(A, 'listener', level)
  const publisher = await open(B, 'publisher', level)
  await listener.subscribeAsync(topic + '/#', { qos: 2 })
  await ready(listener, publisher, topic + '/ready')

  for (const qos of [0, 1, 2]) {
    for (let i = 0; i < 5; i++) await publisher.publishAsync(topic + '/m', `${qos}-${i}`, { qos })
    for (let i = 0; i < 5; i++) {
      const m = await next(listener)
      assert.deepStrictEqual([m.topic, m.text, m.qos, m.retain], [topic + '/m', `${qos}-${i}`, qos, false])
    }
  }
  console.log(level + ': QoS 0, 1, 2')

  await publisher.publishAsync(topic + '/r', 'kept', { qos: 1, retain: true })
  assert.strictEqual((await next(listener)).text, 'kept')
  const late = await open(A, 'late', level)
  await late.subscribeAsync(topic + '/r', { qos: 1 })
  const m = await next(late)
  assert.deepStrictEqual([m.text, m.retain], ['kept', true])
  await late.endAsync()
  await publisher.publishAsync(topic + '/r', '', { qos: 1, retain: true })
  await next(listener)
  console.log(level + ': retained')

  const keep = level === '5.0' ? { clean: false, properties: { sessionExpiryInterval: 600 } } : { clean: false }
  let kept = await open(A, 'kept', level, keep)
  await kept.subscribeAsync(topic + '-q', { qos: 1 })
  await ready(kept, publisher, topic + '-q')
  await kept.endAsync()
  for (let i = 0; i < 5; i++) await publisher.publishAsync(topic + '-q', String(i), { qos: 1 })
  kept = await open(B, 'kept', level, keep) // on the other broker
  assert(kept.present || level === '3.1')
  for (let i = 0; i < 5; i++) {
    let m = await next(kept)
    while (m.text === 'is ready') m = await next(kept) // its PUBACK may not have been through before the end
    assert.strictEqual(m.text, String(i))
  }
  await kept.endAsync()
  await (await open(B, 'kept', level)).endAsync()
  console.log(level + ': persistent session')

  const dying = await open(B, 'dying', level, { will: { topic: topic + '/will', payload: Buffer.from('gone'), qos: 1 } })
  dying.stream.destroy()
  const will = await next(listener)
  assert.deepStrictEqual([will.topic, will.text], [topic + '/will', 'gone'])
  console.log(level + ': will')
  await listener.endAsync()
  await publisher.endAsync()
}

async function request () {
  const asker = await open(A, 'asker', '5.0')
  const server = await open(B, 'server', '5.0')
  await asker.subscribeAsync(run + '/answer', { qos: 1 })
  await server.subscribeAsync(run + '/ask', { qos: 1 })
  await ready(asker, server, run + '/answer')
  await ready(server, asker, run + '/ask')
  const correlationData = Buffer.from([0, 99, 1])
  await asker.publishAsync(run + '/ask', 'question', { qos: 1, properties: { responseTopic: run + '/answer', correlationData, userProperties: { k: ['v1', 'v2'] } } })
  const m = await next(server)
  assert.deepStrictEqual([...m.properties.userProperties.k], ['v1', 'v2'])
  await server.publishAsync(m.properties.responseTopic, 'answer', { qos: 1, properties: { correlationData: m.properties.correlationData } })
  const answer = await next(asker)
  assert.strictEqual(answer.text, 'answer')
  assert(correlationData.equals(answer.properties.correlationData))
  await asker.endAsync()
  await server.endAsync()
  console.log('5.0: request and response')
}

(async () => {
  for (const level of ['3.1', '3.1.1', '5.0']) await story(level)
  await request()
})().catch((e) => { console.error(e); process.exit(1) })
