// Connects Uppy's @uppy/aws-s3 (6.x) to the Stowage API:
//
//   const uppy = new Uppy()
//   uppy.use(AwsS3, stowage(uppy, { api: 'https://api.example.com', token: () => accessToken }))
//
// Files of up to 16 MiB go in one PUT with their SHA-256, larger ones in parts. Parts can be
// paused, and when the page was reloaded or the browser has ended, adding the same file again
// sends only the parts that storage lacks. A file counts as uploaded once the API says that
// its object is available; file.meta.objectId is then its id.
//
// Uppy asks signRequest for the URL of every request to S3. PUTs get theirs from the API. The
// others (create, list, complete, abort) are the API's to make, so they are made right here,
// and Uppy gets the answer that it expects of S3 as a data: URL. A page with a content
// security policy allows them with `connect-src … data:`.

const MiB = 1024 * 1024
const BATCH = 100 // parts that are signed with one request
const TRIES = 5

/**
 * Gives the options of @uppy/aws-s3.
 *
 * @param {import('@uppy/core').Uppy} uppy
 * @param {object} options
 * @param {string} options.api where the API is, without /v1
 * @param {() => string | Promise<string>} options.token gives an access token that is valid now
 * @param {string} [options.workspace] needed when the token lists several
 * @param {(file: object) => object} [options.describe] what `POST /v1/uploads` says of a file
 *   besides its size and type: path, ifExists, tags, metadata
 * @param {Storage} [options.memory] remembers uploads that are not finished
 */
export function stowage(uppy, { api, token, workspace, describe = byName, memory = localStorage }) {
  const call = caller({ api, token, workspace })
  const uploads = new Map() // by Uppy's id of the file, which is also the key that Uppy knows
  const memoryOf = (fileID) => `stowage:${api}:${workspace ?? ''}:${fileID}`

  function stateOf(fileID) {
    if (!uploads.has(fileID)) {
      // The same key again finds the upload whose answer was lost.
      uploads.set(fileID, { id: null, idempotencyKey: crypto.randomUUID(), stored: false, partCount: 0, signed: new Map() })
    }
    return uploads.get(fileID)
  }

  function forget(fileID) {
    uploads.delete(fileID)
    memory.removeItem(memoryOf(fileID))
    if (uppy.getFile(fileID)) uppy.setFileState(fileID, { s3Multipart: undefined })
  }

  async function open(fileID, how) {
    const file = uppy.getFile(fileID)
    const state = stateOf(fileID)
    const answer = await call('POST', '/v1/uploads', {
      body: { ...describe(file), ...how, size: file.size, contentType: file.type || 'application/octet-stream' },
      idempotencyKey: state.idempotencyKey,
    })
    state.id = answer.upload.id
    state.partCount = answer.upload.partCount
    keep(state, answer.parts ?? [])
    return answer
  }

  function keep(state, parts) {
    for (const part of parts) state.signed.set(part.partNumber, part)
  }

  // putObject opens the upload and answers with its PUT. When the file is tried again, the
  // bytes may have arrived before: then there is nothing left to send.
  async function putObject(fileID) {
    const digest = await crypto.subtle.digest('SHA-256', await uppy.getFile(fileID).data.arrayBuffer())
    const sha256 = btoa(String.fromCharCode(...new Uint8Array(digest)))
    const { upload, put } = await open(fileID, { mode: 'single', sha256 })
    if (put) return { url: put.url, headers: put.headers }
    if (!arrived(upload)) {
      forget(fileID)
      throw new Error(`The upload is ${upload.state}`)
    }
    return answer('')
  }

  async function createMultipartUpload(fileID) {
    const { upload } = await open(fileID, { mode: 'multipart', partSize: partSize(uppy.getFile(fileID).size) })
    memory.setItem(memoryOf(fileID), upload.id)
    return answer(`<InitiateMultipartUploadResult><UploadId>${upload.id}</UploadId></InitiateMultipartUploadResult>`)
  }

  // uploadPart takes the parts that were signed in advance; each URL is handed out once, so
  // that a part that failed is signed anew.
  async function uploadPart(fileID, { uploadId, partNumber }) {
    const state = stateOf(fileID)
    const soon = Date.now() + 60_000
    if (!(Date.parse(state.signed.get(partNumber)?.expiresAt) > soon)) {
      const count = Math.max(1, Math.min(BATCH, state.partCount - partNumber + 1))
      const partNumbers = Array.from({ length: count }, (_, i) => partNumber + i)
      keep(state, (await call('POST', `/v1/uploads/${uploadId}/parts`, { body: { partNumbers } })).parts)
    }
    const { url, headers } = state.signed.get(partNumber)
    state.signed.delete(partNumber)
    return { url, headers }
  }

  // listParts says what storage has; of an upload that is complete already: everything.
  async function listParts(fileID, { uploadId }) {
    const upload = await call('GET', `/v1/uploads/${uploadId}`)
    Object.assign(stateOf(fileID), { id: uploadId, partCount: upload.partCount })
    let parts = []
    if (arrived(upload)) {
      parts = Array.from({ length: upload.partCount }, (_, i) => ({ partNumber: i + 1, etag: 'stored' }))
    } else {
      for (let cursor = ''; cursor !== null; ) {
        const page = await call('GET', `/v1/uploads/${uploadId}/parts?limit=1000${cursor && `&cursor=${encodeURIComponent(cursor)}`}`)
        parts.push(...page.items)
        cursor = page.nextCursor
      }
    }
    const xml = parts.map((p) => `<Part><PartNumber>${p.partNumber}</PartNumber><ETag>${p.etag}</ETag></Part>`)
    return answer(`<ListPartsResult>${xml.join('')}</ListPartsResult>`)
  }

  // The API knows the parts better than the page: it takes what storage has, if that is all.
  async function completeMultipartUpload({ key, uploadId }) {
    const { upload } = await call('POST', `/v1/uploads/${uploadId}/complete`, { body: {} })
    const location = escapeXML(`${api}/v1/objects/${upload.objectId}`)
    return answer(
      `<CompleteMultipartUploadResult><Location>${location}</Location><Key>${escapeXML(key)}</Key></CompleteMultipartUploadResult>`,
    )
  }

  // giveUp discards what has arrived and gives the quota back.
  async function giveUp(uploadId) {
    await call('DELETE', `/v1/uploads/${uploadId}`)
    return answer('')
  }

  function signRequest(request) {
    const { method, key: fileID, uploadId, partNumber } = request
    if (method === 'PUT') return partNumber ? uploadPart(fileID, request) : putObject(fileID)
    if (method === 'GET') return listParts(fileID, request)
    if (method === 'DELETE') return giveUp(uploadId)
    return uploadId ? completeMultipartUpload(request) : createMultipartUpload(fileID)
  }

  // takeUp goes on with an upload that an earlier page has begun.
  async function takeUp(fileID) {
    const uploadId = memory.getItem(memoryOf(fileID))
    const file = uppy.getFile(fileID)
    if (!uploadId || file.s3Multipart) return
    const upload = await call('GET', `/v1/uploads/${uploadId}`).catch((error) => {
      if (error.status === 404) return { state: 'gone' }
      throw error
    })
    if ((upload.state === 'uploading' || arrived(upload)) && upload.partSize === partSize(file.size)) {
      uppy.setFileState(fileID, { s3Multipart: { uploadId, key: fileID } })
    } else {
      forget(fileID)
    }
  }

  // settle waits until the bytes are verified, and makes a refusal an error of the file.
  async function settle(fileID) {
    const file = uppy.getFile(fileID)
    const { id, stored } = uploads.get(fileID) ?? {}
    if (!file || !id || (file.error && !stored)) return
    uppy.emit('postprocess-progress', file, { mode: 'indeterminate', message: 'Verifying' })
    let upload = await call('GET', `/v1/uploads/${id}`)
    for (let pause = 250; !ended(upload) && uppy.getFile(fileID); pause = Math.min(2 * pause, 5000)) {
      await sleep(pause)
      upload = await call('GET', `/v1/uploads/${id}`)
    }
    if (!uppy.getFile(fileID)) return
    forget(fileID)
    if (upload.state === 'available') {
      uppy.setFileMeta(fileID, { objectId: upload.objectId })
      if (file.error) {
        uppy.setState({ error: null })
        uppy.setFileState(fileID, { error: null })
        uppy.emit('upload-success', uppy.getFile(fileID), { status: 200, body: { key: fileID } })
      }
    } else {
      uppy.emit('upload-error', uppy.getFile(fileID), new Error(upload.reason?.detail ?? `The upload is ${upload.state}`))
    }
    uppy.emit('postprocess-complete', uppy.getFile(fileID))
  }

  uppy.addPreProcessor((fileIDs) => Promise.all(fileIDs.map(takeUp)))
  uppy.addPostProcessor((fileIDs) => Promise.all(fileIDs.map(settle)))
  uppy.on('upload-error', (file, error) => {
    // Keys are write-once. Uppy sent the file again because the answer to its first PUT was
    // lost; that the second is refused says that the first arrived. Uppy has told the user that
    // the file failed before anybody can say otherwise: take that back.
    if (!file || error.status !== 412 || !uploads.has(file.id)) return
    uploads.get(file.id).stored = true
    uppy.hideInfo()
  })
  uppy.on('file-removed', (file) => {
    const id = uploads.get(file.id)?.id
    forget(file.id)
    // Uppy itself gives up multipart uploads that are on their way, and no others.
    if (id) giveUp(id).catch((error) => uppy.log(error, 'warning'))
  })

  return {
    shouldUseMultipart: (file) => file.size > 16 * MiB,
    getChunkSize: ({ size }) => partSize(size),
    generateObjectKey: (file) => file.id,
    signRequest,
  }
}

/** Gives the size of all parts but the last: the least number of MiB, from 8 up, that makes at most 10,000 parts. */
export function partSize(size) {
  return Math.max(8, Math.ceil(size / 10_000 / MiB)) * MiB
}

/** A request that the API has refused; code is for programs. */
export class Problem extends Error {
  constructor(status, { code, detail, title }) {
    super(detail ?? title ?? `The API answered ${status}`)
    this.name = 'Problem'
    this.status = status
    this.code = code
  }
}

// caller sends requests to the API, again where that may help. A key makes it safe.
function caller({ api, token, workspace }) {
  return async function call(method, path, { body, idempotencyKey = crypto.randomUUID() } = {}) {
    for (let attempt = 1; ; attempt++) {
      const headers = { Authorization: `Bearer ${await token()}` }
      if (workspace) headers['Stowage-Workspace'] = workspace
      if (body) headers['Content-Type'] = 'application/json'
      if (method !== 'GET') headers['Idempotency-Key'] = idempotencyKey
      let failure
      let wait = 250 * 2 ** attempt * Math.random()
      try {
        const response = await fetch(api + path, { method, headers, body: body && JSON.stringify(body) })
        if (response.ok) return response.status === 204 ? null : await response.json()
        failure = new Problem(response.status, await response.json().catch(() => ({})))
        wait = Math.max(wait, 1000 * (Number(response.headers.get('Retry-After')) || 0))
      } catch (error) {
        failure = error // no answer
      }
      const again = !failure.status || failure.status === 429 || failure.status >= 500 || failure.code === 'idempotency_in_progress'
      if (!again || attempt === TRIES) throw failure
      await sleep(wait)
    }
  }
}

const byName = (file) => ({ path: file.name.normalize('NFC') })
const arrived = ({ state }) => state === 'completing' || state === 'uploaded' || state === 'quarantined' || state === 'available'
const ended = ({ state }) => state === 'available' || state === 'rejected' || state === 'expired' || state === 'aborted'
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))
const answer = (xml) => ({ url: `data:application/xml,${encodeURIComponent(xml)}` })
const escapeXML = (text) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
